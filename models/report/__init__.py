"""The page of a model version, as HTML with plots.

Imports ``evaluation`` and ``training``.
"""
