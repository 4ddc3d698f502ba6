"""Partitions that a consumer has and does not fetch, though messages wait in them.

It has been seen of librdkafka after a broker was killed and the group rebalanced meanwhile; a new assignment mends it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping

from streams.kafka.messages import TopicPartition

_EVERY_S = 5.0
_TRIES = 3
"""So many times one position may be found stalled: behind it there may be only the marker of a transaction."""


class StallDetector:
    """Compares where reading stands with where the logs end, now and then."""

    def __init__(self) -> None:
        self._asked_at = time.monotonic()
        self._waiting: dict[TopicPartition, int] = {}
        self._found: Counter[tuple[TopicPartition, int]] = Counter()

    def due(self) -> bool:
        """Whether it is time to look again."""
        return time.monotonic() - self._asked_at > _EVERY_S

    def look(self, positions: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]) -> set[TopicPartition]:
        """The partitions that stand where they stood at the last look, before the end of their log."""
        self._asked_at = time.monotonic()
        waiting = {source: at for source, at in positions.items() if at < ends.get(source, 0)}
        stalled = {source for source, at in waiting.items() if self._waiting.get(source) == at}
        self._waiting = waiting
        self._found.update((source, waiting[source]) for source in stalled)
        return {source for source in stalled if self._found[source, waiting[source]] <= _TRIES}

    def forget(self) -> None:
        """Begin anew; after a rebalance."""
        self._waiting.clear()
        self._asked_at = time.monotonic()
