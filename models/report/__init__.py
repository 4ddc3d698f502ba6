"""A model version's page in HTML, with plots.

Imports ``evaluation`` and ``training``.
"""
