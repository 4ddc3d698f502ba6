"""The role drift: whether a camera still shows, and a model still makes of it, what it did.

Imports ``engine`` and ``model_registry``; ``worker`` runs it and the doctor reads its reports.
"""
