"""Consent, and the record of erasures, which every role has to respect.

Imports ``kafka``; every folder above may import it.
"""
