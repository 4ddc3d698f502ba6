"""A picture to faces: detection, landmarks, alignment, quality, and the vector of each face.

Imports ``pictures`` and ``embedder``.
"""
