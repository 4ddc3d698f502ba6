"""The role match: the gallery of its partitions, enrolment, and the decision about each face of a frame.

Imports ``engine`` and ``model_registry``; ``worker`` runs it.
"""
