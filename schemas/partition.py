"""The one name of a partition: below both the sinks and the streams, which may not import each other's."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TopicPartition:
    """One partition of a topic."""

    topic: str
    partition: int
