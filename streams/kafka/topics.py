"""The topics: the one place that knows their names and limits."""

from __future__ import annotations

import re
from enum import StrEnum

from schemas.errors import FacestreamError
from streams.kafka.cluster_settings import ClusterSettings

_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")


class TopicsError(FacestreamError):
    """The topics are not as facestream needs them; the message says what to do."""


class TopicMissing(TopicsError):
    """A topic does not exist."""


class PartitionsDiffer(TopicsError):
    """Topics that must be partitioned alike are not."""


class Topic(StrEnum):
    """The topics of this version; the value is the name before the prefix.

    All are keyed by ``user_id`` but those of ops, the last ones, and ``chips``: it is compacted by ``event_id``, and
    each chip lies in the partition of its upload. So it is with ``drift-references``, compacted by camera and model
    version, with ``open-sightings``, compacted by camera, and with ``hook-deliveries``. Each of ``probes`` is in every
    partition. All of ``models``, and of ``runs``, is in partition 0, in one order.
    """

    UPLOADS = "uploads"
    FRAMES = "frames"
    EMBEDDINGS = "embeddings"
    MATCHES = "matches"
    PROBES = "probes"
    SEARCH_PARTS = "search-parts"
    COMPARISONS = "comparisons"
    ENROLMENTS = "enrolments"
    CHIPS = "chips"
    SIGHTINGS = "sightings"
    OPEN_SIGHTINGS = "open-sightings"
    DRIFT = "drift"
    DRIFT_REFERENCES = "drift-references"
    FEEDBACK = "feedback"
    ERASURES = "erasures"
    DEAD_LETTERS = "dead-letters"
    RESOLUTIONS = "resolutions"
    REPLAYS = "replays"
    MODELS = "models"
    RUNS = "runs"
    KEYS = "keys"
    HOOKS = "hooks"
    HOOK_DELIVERIES = "hook-deliveries"

    def named(self, settings: ClusterSettings) -> str:
        """The name on the cluster: prefix and name.

        Raises:
            TopicsError: Kafka does not allow such a name.
        """
        name = settings.topic_prefix + self.value
        if not _NAME.fullmatch(name):
            raise TopicsError(
                f"{name!r} is no topic name: FACESTREAM_TOPIC_PREFIX may hold letters, digits, '.', '_' and '-'"
            )
        return name

    @property
    def compression(self) -> str:
        """What producers compress with: nothing where the bulk is JPEG or vectors, which do not shrink."""
        return "lz4" if self in _TEXTUAL else "none"

    def max_message_bytes(self, settings: ClusterSettings) -> int:
        """The largest message; a dead letter has room for what is wrapped around the largest of another topic."""
        return settings.max_message_bytes + (1_000_000 if self is Topic.DEAD_LETTERS else 0)


_TEXTUAL = {Topic.MATCHES, Topic.SEARCH_PARTS, Topic.COMPARISONS, Topic.ENROLMENTS, Topic.SIGHTINGS}
