"""What a sink's worker reads: the messages of its partitions in their order, and where reading stands in each."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException

from streams.engine.stall_detector import StallDetector
from streams.kafka.connection import KafkaUnavailable, admin_client, consumer
from streams.kafka.messages import Message, TopicPartition, as_read, from_client, to_confluent
from streams.kafka.offsets import next_offsets
from streams.kafka.unreadable import EVERY_S, UNDECODED, PassedBatches, look_now
from streams.observability import metrics
from streams.observability.heartbeat import WorkerHeartbeat
from streams.settings import Settings

log = logging.getLogger(__name__)

_POLL_S = 0.25


def sink_consumer(settings: Settings, group: str, client_id: str, *, lingers: bool) -> confluent_kafka.Consumer:
    """The consumer of a sink's worker; one that lingers lets the brokers gather messages."""
    return consumer(
        settings,
        group,
        {
            "client.id": client_id,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "session.timeout.ms": round(settings.session_timeout_s * 1000),
            "heartbeat.interval.ms": round(settings.session_timeout_s * 1000 / 15),
            "partition.assignment.strategy": "range",
            "fetch.wait.max.ms": 500,
            "fetch.min.bytes": 64 * 1024 if lingers else 1,
            "fetch.message.max.bytes": settings.max_message_bytes,
            "queued.max.messages.kbytes": 32 * 1024,
        },
    )


class SinkReader:
    """Reads for one worker, with the worker's own consumer, which it shares; for one thread.

    The consumer tells when it comes to the end of a partition (``enable.partition.eof``): what lies before the end
    and is not given, as the mark of a transaction or what its producer took back, has been passed then.
    """

    def __init__(self, consumer: confluent_kafka.Consumer, settings: Settings, heartbeat: WorkerHeartbeat) -> None:
        """``heartbeat`` is told of what cannot be read."""
        self._consumer = consumer
        self._settings = settings
        self._role = heartbeat.role
        self._unreadable = heartbeat.unreadable
        self._held: set[TopicPartition] = set()
        self._retry_at = 0.0
        self._passes = PassedBatches(settings)
        self._admin = admin_client(settings)
        self._stalled = StallDetector()
        self._next: dict[TopicPartition, int] = {}
        self._moved: set[TopicPartition] = set()
        self.assignments = 0
        """Grows whenever partitions are assigned or revoked: what was read before is not to be written any more."""

    def begin(self, starts: Mapping[TopicPartition, int]) -> None:
        """Read these partitions, each from its offset on."""
        parts = [to_confluent(source, offset) for source, offset in starts.items()]
        self._consumer.assign(parts)
        self._consumer.resume(parts)
        self._next = dict(starts)
        self._moved.clear()
        self._release(self._held.copy())

    def forget(self) -> None:
        """Know nothing of any partition: they are assigned anew, or went elsewhere."""
        self.assignments += 1
        self._next.clear()
        self._moved.clear()
        self._release(self._held.copy())
        self._stalled.forget()

    def read(self, most: int, linger_s: float) -> list[Message]:
        """At least what is there, at most what arrives within the linger time of the first message.

        Nothing after a rebalance, which takes what was read so far.

        Raises:
            KafkaException: the consumer cannot go on.
        """
        messages: list[Message] = []
        assignments, deadline = self.assignments, None
        while len(messages) < most:
            message = self._consumer.poll(_POLL_S if deadline is None else max(0.0, deadline - time.monotonic()))
            if assignments != self.assignments:
                return []
            if message is None:
                break
            if (read := self.take(message)) is None:
                continue
            if deadline is None:
                deadline = time.monotonic() + linger_s
            metrics.observe(self._role, "wait", time.time() - read.timestamp_ms / 1000)
            messages.append(read)
        return messages

    def resume(self) -> None:
        """Go on with everything that was paused, but for what cannot be read."""
        parts = self._consumer.assignment()
        self._consumer.resume([one for one in parts if from_client(one) not in self._held])

    def retry(self) -> None:
        """Look again, now and then, at what could not be read: it may have been mended, or passed."""
        if not self._held or time.monotonic() < self._retry_at:
            return
        self._retry_at = time.monotonic() + EVERY_S
        for source in self._held.copy():
            try:
                found = look_now(self._settings, source, self._next[source])
                passed = found is not None and self._passes.has(found)
            except (KafkaUnavailable, KafkaException) as error:
                log.warning("%s: %s", self._role, error)
                continue
            if found is None or passed:
                if found is not None:
                    log.warning("%s: %s; it has been passed", self._role, found)
                    self._reach(source, found.end)
                self._release({source})
                part = to_confluent(source, self._next[source])
                self._consumer.seek(part)
                self._consumer.resume([part])
            else:
                if source not in self._unreadable:
                    log.error("%s: %s. To pass it: %s", self._role, found, found.remedy)
                self._unreadable[source] = found

    def take(self, message: confluent_kafka.Message) -> Message | None:
        """What the consumer gave as a message to process, or None.

        Raises:
            KafkaException: the consumer cannot go on.
        """
        error, topic = message.error(), message.topic()
        if error is None:
            read = as_read(message)
            if read.source in self._held:
                return None
            self._reach(read.source, read.offset + 1)
            return read
        if error.fatal():
            raise KafkaException(error)
        source = None if topic is None else TopicPartition(topic, message.partition() or 0)
        if source is not None and error.code() in UNDECODED:
            self._hold(source)
        elif source is not None and error.code() == KafkaError._PARTITION_EOF:
            if source not in self._held:
                self._reach(source, message.offset() or 0)
        else:
            log.warning("%s: %s", self._role, error)
        return None

    def moved(self) -> dict[TopicPartition, int]:
        """The next offsets of the partitions that were read on since this was last asked."""
        moved, self._moved = self._moved, set()
        return {source: self._next[source] for source in moved}

    def stalled(self) -> bool:
        """Whether, now and then looked at, some partition has messages of which nothing is fetched."""
        if not self._stalled.due():
            return False
        try:
            ends = next_offsets(self._admin, self._next)
        except KafkaUnavailable as error:
            log.warning("%s: the ends of the logs are not known: %s", self._role, error)
            # After a broker's restart a client goes on for minutes to ask for the leaders of before.
            self._admin = admin_client(self._settings)
            self._stalled.forget()
            return False
        stalled = self._stalled.look({one: at for one, at in self._next.items() if one not in self._held}, ends)
        for source in stalled.copy():
            if self._cannot_be_read(source):
                stalled.discard(source)
                self._hold(source)
        if stalled:
            log.warning("%s: nothing is fetched of %s; assigning anew", self._role, ", ".join(map(str, stalled)))
        return bool(stalled)

    def _cannot_be_read(self, source: TopicPartition) -> bool:
        try:
            return look_now(self._settings, source, self._next[source]) is not None
        except KafkaUnavailable as error:
            log.warning("%s: %s", self._role, error)
            return False

    def _hold(self, source: TopicPartition) -> None:
        """Read nothing more of a partition: behind what it cannot decode librdkafka would leave messages out."""
        if source in self._held or source not in self._next:
            return
        part = to_confluent(source, self._next[source])
        self._held.add(source)
        self._retry_at = 0.0
        self._consumer.pause([part])
        self._consumer.seek(part)

    def _release(self, sources: set[TopicPartition]) -> None:
        self._held -= sources
        for source in sources:
            self._unreadable.pop(source, None)

    def _reach(self, source: TopicPartition, offset: int) -> None:
        if offset > self._next.get(source, offset):
            self._next[source] = offset
            self._moved.add(source)
