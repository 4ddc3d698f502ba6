"""What a sink's worker reads: the messages of its partitions in their order, and where reading stands in each."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams import inbox
from streams.kafka import KafkaUnavailable, admin_client
from streams.log_offsets import next_offsets
from streams.order import Message
from streams.order import TopicPartition as Source
from streams.roles import Role
from streams.settings import Settings
from streams.stalled import Stalled

log = logging.getLogger(__name__)


class SinkReader:
    """Reads for one worker, with the worker's own consumer, which it shares; for one thread.

    The consumer must tell when it comes to the end of a partition (``enable.partition.eof``): what lies before the end
    and is not given, as the mark of a transaction or what its producer took back, has been passed then.
    """

    def __init__(self, consumer: confluent_kafka.Consumer, settings: Settings, role: Role) -> None:
        self._consumer = consumer
        self._settings = settings
        self._role = role
        self._admin = admin_client(settings)
        self._stalled = Stalled()
        self._next: dict[Source, int] = {}
        self._moved: set[Source] = set()

    def begin(self, starts: Mapping[Source, int]) -> None:
        """Read these partitions, each from its offset on."""
        parts = [TopicPartition(source.topic, source.partition, offset) for source, offset in starts.items()]
        self._consumer.assign(parts)
        self._consumer.resume(parts)
        self._next = dict(starts)
        self._moved.clear()

    def forget(self) -> None:
        """Know nothing of any partition: they are assigned anew, or went elsewhere."""
        self._next.clear()
        self._moved.clear()
        self._stalled.forget()

    def take(self, message: confluent_kafka.Message) -> Message | None:
        """What the consumer gave as a message to process, or None.

        Raises:
            KafkaException: the consumer cannot go on.
        """
        error, topic = message.error(), message.topic()
        if error is None:
            read = inbox.as_read(message)
            self._reach(read.source, read.offset + 1)
            return read
        if error.fatal():
            raise KafkaException(error)
        if error.code() == KafkaError._PARTITION_EOF and topic is not None:
            self._reach(Source(topic, message.partition() or 0), message.offset() or 0)
        else:
            log.warning("%s: %s", self._role, error)
        return None

    def moved(self) -> dict[Source, int]:
        """The next offsets of the partitions that were read on since this was last asked."""
        moved, self._moved = self._moved, set()
        return {source: self._next[source] for source in moved}

    def stalled(self) -> bool:
        """Whether, now and then looked at, some partition has messages of which nothing is fetched."""
        if not self._stalled.due():
            return False
        parts = [TopicPartition(source.topic, source.partition) for source in self._next]
        try:
            ends = {Source(*key): end for key, end in next_offsets(self._admin, parts).items()}
        except KafkaUnavailable as error:
            log.warning("%s: the ends of the logs are not known: %s", self._role, error)
            # After a broker's restart a client goes on for minutes to ask for the leaders of before.
            self._admin = admin_client(self._settings)
            self._stalled.forget()
            return False
        stalled = self._stalled.look(self._next, ends)
        if stalled:
            log.warning("%s: nothing is fetched of %s; assigning anew", self._role, ", ".join(map(str, stalled)))
        return bool(stalled)

    def _reach(self, source: Source, offset: int) -> None:
        if offset > self._next.get(source, offset):
            self._next[source] = offset
            self._moved.add(source)
