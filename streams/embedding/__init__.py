"""The role embed: pictures in, vectors out. Stateless and heavy.

Imports ``engine`` and ``model_registry``; only ``worker`` and what reads pictures again import it.
"""
