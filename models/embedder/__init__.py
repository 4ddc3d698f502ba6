"""The network that turns an aligned face into a vector, its weights, and the card that describes a model version.

Imports ``pictures``.
"""
