"""A vector to a decision: the gallery's exact search, and what its distances mean.

Imports ``embedder`` for the card.
"""
