"""The role retrain: decides when to train, runs the training in a process of its own, and writes the
new version into the folder of versions.

Imports ``engine``, ``model_registry`` and ``training_data``; ``worker`` runs it.
"""
