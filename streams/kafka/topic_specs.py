"""How each topic is to be: partitions, retention and limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from streams.kafka.topics import Topic
from streams.settings import Settings

_HOUR_MS = 3_600_000
_DAY_H = 24
_SMALL_SEGMENT = 64 * 2**20

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
    Topic.KEYS: "who may use the HTTP gateway",
    Topic.HOOKS: "where events are posted to",
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
        Topic.KEYS: "compact",
        Topic.HOOKS: "compact",
        Topic.HOOK_DELIVERIES: "compact,delete",
        Topic.DRIFT_REFERENCES: "compact,delete",
        Topic.OPEN_SIGHTINGS: "compact,delete",
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
    if topic in {Topic.DRIFT_REFERENCES, Topic.OPEN_SIGHTINGS, Topic.HOOK_DELIVERIES}:
        # They are written again every few seconds, and who takes one over reads all that is not compacted yet.
        config |= {"segment.bytes": str(_SMALL_SEGMENT), "min.cleanable.dirty.ratio": "0.1"}
    return TopicSpec(topic, topic.named(settings), settings.partitions, settings.replication_factor, config)
