"""Messages of co-partitioned topics, merged by the broker's time stamp.

A user's uploads and frames lie on the same partition number of two topics. Kafka orders neither against the other, so
each partition's topics are merged by the time at which the broker appended a message (topics are created with
``LogAppendTime``): a photo acknowledged before a frame was sent is always enrolled before that frame is matched.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping

from streams.kafka.messages import Message, TopicPartition


class TimestampMerge:
    """Buffers messages and gives them back per partition in the order of their time stamps.

    Equal time stamps keep the order in which ``topics`` were given; messages of one topic partition keep theirs.
    Those of ``unordered_topics`` are given as soon as they are there: nothing waits for them, nor they for anything.
    """

    def __init__(self, topics: Iterable[str], unordered_topics: Iterable[str] = ()) -> None:
        self.topics = tuple(topics)
        self.unordered_topics = tuple(unordered_topics)
        self._queues: dict[TopicPartition, deque[Message]] = {}
        self._bytes: dict[TopicPartition, int] = {}
        self._next_offset: dict[TopicPartition, int] = {}

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def buffered(self, source: TopicPartition) -> int:
        """How many messages of a partition wait here."""
        return len(self._queues.get(source, ()))

    def buffered_bytes(self, source: TopicPartition) -> int:
        """How much memory they take."""
        return self._bytes.get(source, 0)

    def next_offset(self, source: TopicPartition) -> int | None:
        """The offset after the last message added, or None if none was."""
        return self._next_offset.get(source)

    def add(self, message: Message) -> None:
        """Buffer one message; an offset that was seen already is dropped (the consumer went back)."""
        if message.offset < self._next_offset.get(message.source, 0):
            return
        self._next_offset[message.source] = message.offset + 1
        self._queues.setdefault(message.source, deque()).append(message)
        self._bytes[message.source] = self._bytes.get(message.source, 0) + message.size_bytes

    def silent(self) -> set[TopicPartition]:
        """Partitions that hold messages back as long as it is not known whether something older is on its way."""
        return {
            TopicPartition(topic, partition)
            for partition in self._waiting(self.topics)
            for topic in self.topics
            if not self.buffered(TopicPartition(topic, partition))
        }

    def take(self, limit: int, caught_up: Callable[[TopicPartition], bool]) -> list[Message]:
        """Remove and return up to ``limit`` messages, fairly over the partitions.

        Args:
            limit: most messages to return.
            caught_up: whether everything was added that the partition held when its neighbours' last message came.
        """
        taken: list[Message] = []
        partitions = deque(sorted(self._waiting(self.topics + self.unordered_topics)))
        while partitions and len(taken) < limit:
            partition = partitions.popleft()
            source = self._next(partition, caught_up)
            if source is not None:
                message = self._queues[source].popleft()
                self._bytes[source] -= message.size_bytes
                taken.append(message)
                partitions.append(partition)
        return taken

    def rewind(self, source: TopicPartition, offset: int) -> None:
        """Forget what is buffered of a partition from ``offset`` on; that is what comes next."""
        kept = deque(message for message in self._queues.get(source, ()) if message.offset < offset)
        self._queues[source] = kept
        self._bytes[source] = sum(message.size_bytes for message in kept)
        self._next_offset[source] = offset

    def clear(self) -> None:
        """Forget everything; after a rebalance, since the consumer starts again at the committed offsets."""
        self._queues.clear()
        self._bytes.clear()
        self._next_offset.clear()

    def _waiting(self, topics: Collection[str]) -> set[int]:
        return {source.partition for source, queue in self._queues.items() if queue and source.topic in topics}

    def _next(self, partition: int, caught_up: Callable[[TopicPartition], bool]) -> TopicPartition | None:
        """The topic partition whose first message is the oldest, or None while an older one may still come."""
        for topic in self.unordered_topics:
            if self.buffered(TopicPartition(topic, partition)):
                return TopicPartition(topic, partition)
        oldest: TopicPartition | None = None
        for topic in self.topics:
            source = TopicPartition(topic, partition)
            if not self.buffered(source):
                if not caught_up(source):
                    return None
            elif oldest is None or self._queues[source][0].timestamp_ms < self._queues[oldest][0].timestamp_ms:
                oldest = source
        return oldest


def ends_reached(
    order: TimestampMerge, starts: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
) -> set[TopicPartition]:
    """The partitions of which everything before ``ends`` was added; ``starts`` is where reading of them began."""
    return {source for source, end in ends.items() if max(order.next_offset(source) or 0, starts.get(source, 0)) >= end}
