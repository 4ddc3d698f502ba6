"""The role sightings: joins the frames of each camera to sightings, a person from one time to another.

Imports ``engine``, ``model_registry`` and ``models.sightings``; ``worker`` runs it and ``operations`` reads its state.
"""
