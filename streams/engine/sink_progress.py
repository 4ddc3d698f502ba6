"""How far a sink's worker may commit: up to the first message that is read and not done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from streams.engine.held_results import HeldResults
from streams.kafka.messages import TopicPartition


class OpenErasures(Protocol):
    """The erasures that are not done, as :class:`streams.engine.sink_erasure.SinkEraser` knows them."""

    @property
    def topic(self) -> str:
        """The topic that they come from."""

    def first(self, number: int) -> int | None:
        """The offset of the first of a partition that is not done."""


class SinkProgress:
    """Next offsets by partition; for one thread."""

    def __init__(self, held: HeldResults[Any], erasures: OpenErasures) -> None:
        """Results that are held are not done, nor are erasures that are open."""
        self._held = held
        self._erasures = erasures
        self._read: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}

    def read(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        """Everything before these offsets is written, or is held or open."""
        self._read.update(next_offsets)

    def done_to(self, partition: TopicPartition, offset: int) -> int:
        """The offset before which all is done, if all before this one is read."""
        erases = partition.topic == self._erasures.topic
        first = self._erasures.first(partition.partition) if erases else self._held.first(partition)
        return offset if first is None else min(first, offset)

    def due(self) -> dict[TopicPartition, int]:
        """What to commit that is not committed."""
        found = {one: self.done_to(one, offset) for one, offset in self._read.items()}
        return {one: offset for one, offset in found.items() if offset > self._committed.get(one, -1)}

    def committed(self, offsets: Mapping[TopicPartition, int]) -> None:
        """The broker took these."""
        self._committed.update(offsets)
        self._read = {one: offset for one, offset in self._read.items() if offset > self._committed.get(one, -1)}

    def forget(self) -> None:
        """What is not committed is read again, and what is held."""
        self._held.clear()
        self._read.clear()
        self._committed.clear()
