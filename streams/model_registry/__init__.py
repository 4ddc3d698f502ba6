"""The model versions: their records on Kafka, the transitions between states, and the pool that workers load.

Imports ``kafka``; the roles and the rollout import it.
"""
