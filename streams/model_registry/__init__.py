"""Which model version answers for whom: its records on Kafka, who follows them, and how a version changes its state.

Imports ``kafka``; the roles and the rollout import it.
"""
