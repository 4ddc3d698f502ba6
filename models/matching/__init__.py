"""Turns a vector into a decision: exact search in the gallery, thresholds, and false-match rates.

Imports ``embedder`` for the card.
"""
