"""The roles of workers, by the names that the command line uses."""

from collections.abc import Collection
from enum import StrEnum


class Role(StrEnum):
    """What a worker does."""

    EMBED = "embed"
    MATCH = "match"
    SINK_REDIS = "sink-redis"
    SINK_BIGQUERY = "sink-bigquery"
    DRIFT = "drift"
    RETRAIN = "retrain"
    SEARCH = "search"
    SIGHTINGS = "sightings"
    HOOKS = "hooks"


ANSWERING = (Role.EMBED, Role.MATCH, Role.SINK_REDIS, Role.SINK_BIGQUERY)
"""Those on the way from an event to its answer; without the others answers come all the same."""


def running_roles(search_purposes: Collection[str]) -> tuple[Role, ...]:
    """The roles of a whole installation; ``search`` only where searches over all users are allowed for a purpose."""
    return tuple(role for role in Role if search_purposes or role is not Role.SEARCH)


class Embedder(StrEnum):
    """What turns pictures into vectors."""

    MODEL = "model"
    DIGEST = "digest"
