"""Consent, and the erasures that everybody must heed.

Imports ``kafka``; every folder above may import it.
"""
