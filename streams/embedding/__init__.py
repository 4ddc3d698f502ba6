"""The role embed: turns pictures into vectors. Stateless and heavy.

Imports ``engine`` and ``model_registry``; only ``worker`` and what reads pictures again import it.
"""
