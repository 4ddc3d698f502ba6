"""Up to where each partition may be committed, while its messages are processed in another order than they lie."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from streams.kafka.messages import Message, TopicPartition


class _Progress:
    """Offsets of one partition that arrived and are not all done, and the offset below which everything is."""

    def __init__(self) -> None:
        self.arrived: deque[int] = deque()
        self.done: set[int] = set()
        self.next_offset: int | None = None


class ProcessedOffsets:
    """Knows which messages are processed; a commit never passes one that is not."""

    def __init__(self) -> None:
        self._partitions: dict[TopicPartition, _Progress] = {}

    def arrives(self, source: TopicPartition, offset: int) -> None:
        """A message was read; after one with a higher offset, it and all behind it are read again."""
        known = self._partitions.setdefault(source, _Progress())
        while known.arrived and known.arrived[-1] >= offset:
            known.done.discard(known.arrived.pop())
        if known.next_offset is None or offset >= known.next_offset:
            known.arrived.append(offset)

    def done(self, messages: Iterable[Message]) -> None:
        """Messages had their effect."""
        for message in messages:
            self.pass_over(message.source, message.offset)

    def pass_over(self, source: TopicPartition, offset: int) -> None:
        """A message needs no effect, or has had it."""
        known = self._partitions[source]
        known.done.add(offset)
        while known.arrived and known.arrived[0] in known.done:
            passed = known.arrived.popleft()
            known.done.discard(passed)
            known.next_offset = passed + 1

    def reached(self, source: TopicPartition, next_offset: int) -> None:
        """Nothing lies before an offset that is not done; does nothing where something arrived that is not."""
        known = self._partitions.setdefault(source, _Progress())
        if not known.arrived and next_offset > (known.next_offset or 0):
            known.next_offset = next_offset

    def next_offsets(self) -> Mapping[TopicPartition, int]:
        """What may be committed."""
        found = ((source, known.next_offset) for source, known in self._partitions.items())
        return {source: offset for source, offset in found if offset is not None}

    def clear(self) -> None:
        """Forget all partitions."""
        self._partitions.clear()
