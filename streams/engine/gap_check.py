"""Tells offsets that hold no message from messages that were not given, before anything behind them is processed.

Faust drops messages when a rebalance cuts in. But also the marks of transactions, and what compaction has removed,
leave offsets out. The brokers know which it was.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from streams.engine.fair_order import FairOrder
from streams.kafka.messages import TopicPartition

log = logging.getLogger(__name__)

_SILENCE_S = 1.0
"""After this long without a message, the log's end may be a transaction marker, which no consumer ever sees."""
_REWINDS = 20
"""Most times in a row that a partition is read again from where messages are missing. Those that were already on their
way come first, and each of them may call for one more."""


class SkippedMessages(Exception):
    """Messages were not given to the stage, although they are in the log, however often they were asked for."""


class LogOffsets(Protocol):
    """What the brokers know, as :class:`streams.kafka.offsets.AsyncOffsets` asks them."""

    async def first_offsets(self, sources: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset of the first message that is still there, or of the next one in an empty log."""

    async def next_offsets(self, sources: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset that the next message will get."""

    async def holds_messages(self, source: TopicPartition, start: int, end: int) -> bool:
        """Whether a partition has a message from ``start`` to before ``end``."""


class ConsumerOffsets(Protocol):
    """Where the consumer stands, as :class:`streams.engine.faust_offsets.FaustOffsets` asks it."""

    async def committed(self, source: TopicPartition) -> int | None:
        """The committed offset."""

    async def position(self, source: TopicPartition) -> int | None:
        """The offset that is read next."""

    async def seek(self, source: TopicPartition, offset: int) -> None:
        """Read on from there."""


@dataclass(frozen=True, slots=True)
class _Gap:
    """Offsets from ``start`` to before ``end`` that never came; ``start`` is None at the begin of reading."""

    source: TopicPartition
    start: int | None
    end: int


class GapCheck:
    """Watches what comes into a buffer; for one event loop."""

    def __init__(self, order: FairOrder, log_offsets: LogOffsets, consumer: ConsumerOffsets) -> None:
        """Only what is in the buffer ``order`` may be forgotten and read again."""
        self._order = order
        self._log_offsets = log_offsets
        self._consumer = consumer
        self._starts: dict[TopicPartition, int] = {}
        self._last_arrival: dict[TopicPartition, float] = {}
        self._gaps: list[_Gap] = []
        self._rewinds: dict[TopicPartition, tuple[int, int]] = {}
        self._cleared = 0

    @property
    def starts(self) -> Mapping[TopicPartition, int]:
        """Where reading began, of the partitions of which that was asked."""
        return self._starts

    @property
    def found(self) -> bool:
        """Whether there are gaps that are not verified: nothing behind them may be processed."""
        return bool(self._gaps)

    def arrives(self, source: TopicPartition, offset: int) -> None:
        """A message is about to be buffered."""
        expected = self._order.next_offset(source)
        if expected is None or offset > expected:
            self._gaps.append(_Gap(source, expected, offset))
        self._last_arrival[source] = time.monotonic()

    def clear(self) -> None:
        """Forget all partitions: they are assigned anew, or went elsewhere."""
        self._cleared += 1
        for known in (self._starts, self._last_arrival, self._rewinds):
            known.clear()
        self._gaps.clear()

    async def verify(self) -> None:
        """Make sure that where offsets are missing, messages are not.

        Where they are, the partition is read again from there on; nothing behind the gap has been processed.

        Raises:
            SkippedMessages: they do not come.
            KafkaError: the brokers do not answer; ask again.
        """
        while self._gaps:
            gap = self._gaps[0]
            start = gap.start
            if start is None:
                await self.learn_starts({gap.source})
                start = self._starts.get(gap.source, gap.end)
            missing = start < gap.end and await self._log_offsets.holds_messages(gap.source, start, gap.end)
            if not self._gaps or self._gaps[0] is not gap:
                continue
            if missing:
                await self._rewind(gap, start)
            else:
                self._gaps.pop(0)

    async def caught_up(self) -> set[TopicPartition]:
        """Partitions of which it is certain that nothing is still to come that is older than what waits in others.

        Raises:
            KafkaError: the brokers do not answer; ask again.
        """
        silent = self._order.silent()
        if not silent:
            return set()
        await self.learn_starts(silent)
        ends = await self._log_offsets.next_offsets(silent)
        reached = {source for source, end in ends.items() if self._read_to(source) >= end}
        for source in silent - reached:
            quiet = time.monotonic() - self._last_arrival.setdefault(source, time.monotonic())
            if quiet > _SILENCE_S:
                position = await self._consumer.position(source)
                if position is not None and position >= ends.get(source, 0):
                    reached.add(source)
        return reached

    async def learn_starts(self, sources: Collection[TopicPartition]) -> None:
        """Find out where reading began, for partitions that gave no message yet.

        Raises:
            KafkaError: the brokers do not answer; ask again.
        """
        unknown = [source for source in sources if source not in self._starts]
        if not unknown:
            return
        first = await self._log_offsets.first_offsets(unknown)
        for source in unknown:
            committed = await self._consumer.committed(source)
            self._starts[source] = max(committed or 0, first.get(source, 0))

    def _read_to(self, source: TopicPartition) -> int:
        """The offset before which everything was added that was not processed before reading began."""
        return max(self._order.next_offset(source) or 0, self._starts.get(source, 0))

    async def _rewind(self, gap: _Gap, start: int) -> None:
        """Have the partition given anew from ``start`` on."""
        source, cleared = gap.source, self._cleared
        before, times = self._rewinds.get(source, (start, 0))
        times = times + 1 if before == start else 1
        if times > _REWINDS:
            raise SkippedMessages(f"{source} was not given from {start} to {gap.end - 1}: starting again")
        self._rewinds[source] = start, times
        log.warning("%s was not given from %d to %d: reading it again", source, start, gap.end - 1)
        await self._consumer.seek(source, start)
        if cleared == self._cleared:
            self._order.rewind(source, start)
            self._gaps = [one for one in self._gaps if one.source != source]
