"""Analyses a picture: detects faces, finds landmarks, aligns, measures quality, and embeds each face.

Imports ``pictures`` and ``embedder``.
"""
