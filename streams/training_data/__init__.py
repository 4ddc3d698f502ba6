"""The faces that a model may learn from: kept chips, confirmed faces, and the training set made of both.

Imports ``feedback``, ``privacy`` and ``embedding``; retraining imports it.
"""
