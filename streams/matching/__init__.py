"""The role match: holds the gallery of its partitions, enrols uploads, and decides about the faces of frames.

Imports ``engine`` and ``model_registry``; ``worker`` runs it.
"""
