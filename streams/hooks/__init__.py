"""The role hooks: posts sightings and enrolments, signed, to addresses that ``facestream hooks add`` names.

Imports ``engine`` and below; ``worker`` runs it, ``operations`` and ``cli`` use its store.
"""
