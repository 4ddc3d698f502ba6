"""The role retrain: decides when to train, runs the training in a process of its own, and registers the new version.

Imports ``engine``, ``model_registry`` and ``training_data``; ``worker`` runs it.
"""
