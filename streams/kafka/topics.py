"""The topics: the one place that knows their names, partitions, retention and limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from streams.settings import Settings

_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")
_HOUR_MS = 3_600_000
_DAY_H = 24
_SMALL_SEGMENT = 64 * 2**20


class TopicsError(Exception):
    """The topics are not as facestream needs them; the message says what to do."""


class TopicMissing(TopicsError):
    """A topic does not exist."""


class PartitionsDiffer(TopicsError):
    """Topics that must be partitioned alike are not."""


class Topic(StrEnum):
    """The topics of this version; the value is the name before the prefix.

    All are keyed by ``user_id`` but those of ops, the last ones, and ``chips``: it is compacted by ``event_id``, and
    each chip lies in the partition of its upload. So it is with ``drift-references``, compacted by camera and model
    version. All of ``models``, and of ``runs``, is in partition 0, in one order.
    """

    UPLOADS = "uploads"
    FRAMES = "frames"
    EMBEDDINGS = "embeddings"
    MATCHES = "matches"
    COMPARISONS = "comparisons"
    ENROLMENTS = "enrolments"
    CHIPS = "chips"
    DRIFT = "drift"
    DRIFT_REFERENCES = "drift-references"
    FEEDBACK = "feedback"
    ERASURES = "erasures"
    DEAD_LETTERS = "dead-letters"
    RESOLUTIONS = "resolutions"
    REPLAYS = "replays"
    MODELS = "models"
    RUNS = "runs"

    def named(self, settings: Settings) -> str:
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
        return "lz4" if self in {Topic.MATCHES, Topic.COMPARISONS, Topic.ENROLMENTS} else "none"

    def max_message_bytes(self, settings: Settings) -> int:
        """The largest message; a dead letter has room for what is wrapped around the largest of another topic."""
        return settings.max_message_bytes + (1_000_000 if self is Topic.DEAD_LETTERS else 0)


LASTING = {
    Topic.CHIPS: "the faces kept for new model versions",
    Topic.DRIFT_REFERENCES: "how faces of each camera were",
    Topic.FEEDBACK: "what people said of answers",
    Topic.ERASURES: "whose data must not come back",
    Topic.DEAD_LETTERS: "what could not be processed",
    Topic.RESOLUTIONS: "what became of it",
    Topic.REPLAYS: "the replays",
    Topic.MODELS: "which model version answers",
    Topic.RUNS: "the trainings",
}
"""What is gone with a topic where nothing brings it back; through the others events only pass."""


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """How a topic is to be."""

    topic: Topic
    name: str
    partitions: int
    replicas: int
    config: Mapping[str, str]

    @property
    def kept_ms(self) -> int:
        """How long a message is on the disks at most once it is old, or a tombstone lies over it."""
        if self.config["cleanup.policy"] == "delete":
            return int(self.config["retention.ms"]) + int(self.config["segment.ms"])
        return int(self.config["max.compaction.lag.ms"])


def topic_specs(settings: Settings) -> list[TopicSpec]:
    """How the settings want every topic to be."""
    return [_wanted(topic, settings) for topic in Topic]


def _wanted(topic: Topic, settings: Settings) -> TopicSpec:
    # Written after its letter, a resolution outlives it.
    long_kept = topic in {
        Topic.DEAD_LETTERS,
        Topic.RESOLUTIONS,
        Topic.REPLAYS,
        Topic.FEEDBACK,
        Topic.DRIFT_REFERENCES,
    }
    hours = settings.dead_letter_retention_hours if long_kept else settings.retention_hours
    if topic is Topic.ERASURES:
        # It must outlive whatever a replay could bring back.
        hours = max(settings.dead_letter_retention_hours, settings.retention_hours) + 2 * _DAY_H
    retention_ms = int(hours * _HOUR_MS)
    cleanup = {
        Topic.REPLAYS: "compact,delete",
        Topic.CHIPS: "compact",
        Topic.MODELS: "compact",
        Topic.RUNS: "compact",
        Topic.DRIFT_REFERENCES: "compact,delete",
    }
    config = {
        "cleanup.policy": cleanup.get(topic, "delete"),
        "retention.ms": str(retention_ms),
        # Only whole segments are deleted, so a segment must not be open much longer than its messages may live.
        "segment.ms": str(max(600_000, min(retention_ms // 8, _DAY_H * _HOUR_MS))),
        "max.message.bytes": str(topic.max_message_bytes(settings)),
        "compression.type": "producer",
        # The broker's clock: it orders uploads against frames, and a wrong clock of a camera deletes nothing early.
        "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": str(max(1, settings.replication_factor - 1)),
    }
    if "compact" in config["cleanup.policy"]:
        # What a tombstone removes is to be gone after a day, however little else comes.
        config["max.compaction.lag.ms"] = str(_DAY_H * _HOUR_MS)
    if topic is Topic.DRIFT_REFERENCES:
        # Each camera is written again every few seconds, and who takes one over reads all that is not compacted yet.
        config |= {"segment.bytes": str(_SMALL_SEGMENT), "min.cleanable.dirty.ratio": "0.1"}
    return TopicSpec(topic, topic.named(settings), settings.partitions, settings.replication_factor, config)
