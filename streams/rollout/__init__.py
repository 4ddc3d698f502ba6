"""How a new model version takes over: backfill of the galleries, shadow report, gates, and controller.

Imports ``model_registry``, ``matching`` and ``embedding``; the command line imports it.
"""
