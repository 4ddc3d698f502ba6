"""The roles of workers, by the names that the command line uses."""

from enum import StrEnum


class Role(StrEnum):
    """What a worker does."""

    EMBED = "embed"
    MATCH = "match"
    SINK_REDIS = "sink-redis"
    SINK_BIGQUERY = "sink-bigquery"
    DRIFT = "drift"
    RETRAIN = "retrain"


ANSWERING = (Role.EMBED, Role.MATCH, Role.SINK_REDIS, Role.SINK_BIGQUERY)
"""Those on the way from an event to its answer; without the others answers come all the same."""


class Embedder(StrEnum):
    """What turns pictures into vectors."""

    MODEL = "model"
    DIGEST = "digest"
