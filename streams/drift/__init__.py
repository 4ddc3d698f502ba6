"""The role drift: detects that a camera's pictures, or a model's vectors of them, have changed.

Imports ``engine`` and ``model_registry``; ``worker`` runs it and the doctor reads its reports.
"""
