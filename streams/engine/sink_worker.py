"""Drives a sink: reads results in its own consumer group, writes them, and only then commits.

One thread, confluent-kafka, no Faust: a sink needs no tables, but the exact moment of assignment, revocation and
commit. While a sink is away its partitions are paused and the consumer stays in its group, so nothing is lost, nothing
grows, and the other sinks go on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from threading import Event as Flag

import confluent_kafka
from confluent_kafka import KafkaException

from schemas.dead_letters import DeadLetter
from sinks.base import Delivery, Position, RejectedRow, Sink, SinkFenced, SinkUnavailable
from streams.dead_letters.records import dead_letter
from streams.dead_letters.sender import Outbox
from streams.engine.sink_batch import SinkBatch
from streams.engine.sink_erasure import Held, SinkEraser
from streams.engine.sink_progress import SinkProgress
from streams.engine.sink_reader import SinkReader
from streams.engine.start_offsets import identify, positions_of, rewind
from streams.kafka.commit_metadata import CommitMetadata
from streams.kafka.connection import admin_client, consumer
from streams.kafka.consumer_groups import group_id
from streams.kafka.messages import Message, TopicPartition, from_client, to_confluent
from streams.kafka.topics import Topic
from streams.observability import metrics
from streams.observability.heartbeat import ConsumerStatus, WorkerHeartbeat
from streams.privacy.erasures import Erasures
from streams.roles import Role
from streams.settings import Settings
from streams.topology import EVENT_TYPES

log = logging.getLogger(__name__)

_RETRY_S = (0.2, 5.0)
"""First and longest pause before the sink is tried again."""
_COMMIT_TIMEOUT_S = 10.0
_CHECK_S = 5.0
_HELD = 5_000
"""More results than that are not held for erasures: reading waits then."""


class _Revoked(Exception):
    """The partitions of the batch in hand went to another worker, which writes it."""


class SinkWorker:
    """Reads topics and writes every event in them to one sink."""

    def __init__(
        self,
        role: Role,
        settings: Settings,
        sink: Sink,
        topics: Sequence[Topic],
        *,
        batch_size: int,
        linger_s: float,
        client_id: str = "facestream",
        letters: bool = True,
    ) -> None:
        """``topics`` are those of results; ``erasures`` is read besides.

        Without ``letters`` messages that cannot be read are passed over: another role makes dead letters of them.
        """
        self._role = role
        self._settings = settings
        self._sink = sink
        self._topics = {topic.named(settings): EVENT_TYPES[topic] for topic in topics}
        self._erasures = Topic.ERASURES.named(settings)
        self._group = group_id(role, settings)
        self._erased = Erasures()
        self._batch_size = batch_size
        self._linger_s = linger_s
        self._makes_letters = letters
        self._unclaimed: list[TopicPartition] = []
        self._commit_at = 0.0
        self._check_at = 0.0
        self._admin = admin_client(settings)
        self._topic_ids: dict[str, str] = {}
        self._epoch = 0
        self.heartbeat = WorkerHeartbeat(role)
        self._facts = ConsumerStatus(False, frozenset())
        self._consumer = consumer(
            settings,
            self._group,
            {
                "client.id": client_id,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "session.timeout.ms": round(settings.session_timeout_s * 1000),
                "heartbeat.interval.ms": round(settings.session_timeout_s * 1000 / 15),
                "partition.assignment.strategy": "range",
                "fetch.wait.max.ms": 500,
                "fetch.min.bytes": 64 * 1024 if linger_s else 1,
                "fetch.message.max.bytes": settings.max_message_bytes,
                "queued.max.messages.kbytes": 32 * 1024,
            },
        )
        self._reader = SinkReader(self._consumer, settings, self.heartbeat)
        self._outbox = Outbox(role, settings)
        self._eraser = SinkEraser(role, settings, sink, self._erasures, self.heartbeat)
        self._held = Held()
        self._progress = SinkProgress(self._held, self._eraser)

    def facts(self) -> ConsumerStatus:
        """How the worker stands in its group; from any thread."""
        return self._facts

    def run(self, stop: Flag) -> None:
        """Work until ``stop`` is set, then finish the batch in hand, commit and leave the group.

        Raises:
            KafkaException: the client cannot go on; a restarted worker begins at the committed offsets.
        """
        self._consumer.subscribe(
            [*self._topics, self._erasures],
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_revoke,
        )
        self._eraser.start()
        try:
            while not stop.is_set():
                self.heartbeat.turned()
                try:
                    if self._unclaimed:
                        self._claim(stop)
                    else:
                        self._write(self._read(), stop)
                        self._write_released(stop)
                        self._reader.retry()
                        if self._reader.stalled():
                            self._claim_again()
                        self._check_sink()
                except _Revoked:
                    log.info("%s: the partitions in hand went elsewhere; their owner writes the batch", self._role)
                except SinkFenced as error:
                    log.warning("%s: %s; finding out what was written", self._role, error)
                    self._claim_again()
        finally:
            self._commit_written()
            self._eraser.stop()
            self._consumer.close()
            self._sink.close()

    def _on_assign(self, consumer: confluent_kafka.Consumer, partitions: list[confluent_kafka.TopicPartition]) -> None:
        self._epoch += 1
        self._unclaimed = [from_client(one) for one in partitions]
        self._reader.forget()
        self._facts = ConsumerStatus(not partitions, frozenset(self._unclaimed))
        consumer.assign(partitions)
        if partitions:
            consumer.pause(partitions)

    def _on_revoke(self, consumer: confluent_kafka.Consumer, partitions: list[confluent_kafka.TopicPartition]) -> None:
        self._commit_written()
        self._progress.forget()
        self._eraser.drop({one.partition for one in partitions})
        self._epoch += 1
        self._unclaimed = []
        self._reader.forget()
        self._facts = ConsumerStatus(False, frozenset())
        self.heartbeat.reassigned()
        self._sink.revoke(self._of_sink(map(from_client, partitions)))
        consumer.unassign()

    def _claim(self, stop: Flag) -> None:
        """Let the sink find out what was written, shut predecessors out, and begin to read at the committed offsets."""
        partitions = self._unclaimed
        positions: list[Position] = []

        def claim() -> None:
            self._topic_ids = identify(self._admin, {one.topic for one in partitions})
            from_end = {self._erasures}
            positions[:] = positions_of(
                self._consumer, partitions, self._settings, self._group, from_end, self._topic_ids
            )
            again = self._sink.assign([position for position in positions if position.partition.topic in self._topics])
            self._eraser.catch_up(positions, self._erased)
            positions[:] = [rewind(self._consumer, position, again.get(position.partition)) for position in positions]
            # A successor learns from this note what to shut out, so it must be with Kafka before the first write.
            starts = {one.partition: self._progress.done_to(one.partition, one.offset) for one in positions}
            try:
                self._commit(starts)
            except KafkaException as error:
                raise SinkUnavailable(f"Kafka does not take the commit: {error}") from error

        self._patiently(claim, stop, f"taking over {len(partitions)} partitions")
        self._unclaimed = []
        self._reader.begin({one.partition: one.offset for one in positions})
        self._facts = replace(self._facts, ready=True)
        log.info("%s: owns %d partitions", self._role, len(partitions))

    def _of_sink(self, partitions: Iterable[TopicPartition]) -> list[TopicPartition]:
        """Without those of ``erasures``, of which the sink knows nothing."""
        return [partition for partition in partitions if partition.topic in self._topics]

    def _claim_again(self) -> None:
        """Go back to the committed offsets, as after a rebalance."""
        self._unclaimed = [from_client(one) for one in self._consumer.assignment()]
        self._progress.forget()
        self._reader.forget()

    def _check_sink(self) -> None:
        """Look now and then whether the service still has what was written."""
        if time.monotonic() < self._check_at:
            return
        self._check_at = time.monotonic() + _CHECK_S
        try:
            self._sink.check()
        except SinkUnavailable as error:
            log.warning("%s: %s", self._role, error)
            self.heartbeat.failed("the sink", error)
        else:
            self.heartbeat.succeeded()

    def _read(self) -> SinkBatch:
        """A batch: at least what is there, at most what arrives within the linger time."""
        batch = SinkBatch()
        deadline = None
        while len(batch.messages) < self._batch_size:
            wait = 0.25 if deadline is None else max(0.0, deadline - time.monotonic())
            epoch = self._epoch
            message = self._consumer.poll(wait)
            if epoch != self._epoch:
                return SinkBatch()  # the rebalance took what was read so far
            if message is None:
                break
            if (read := self._reader.take(message)) is None:
                continue
            if deadline is None:
                deadline = time.monotonic() + self._linger_s
            self._add(batch, read)
        batch.next_offsets.update(self._reader.moved())
        return batch

    def _add(self, batch: SinkBatch, read: Message) -> None:
        metrics.observe(self._role, "wait", time.time() - read.timestamp_ms / 1000)
        if (erasure := batch.add(read, self._topics, self._role, letters=self._makes_letters)) is not None:
            self._erased.add(erasure, read.timestamp_ms)

    def _write(self, batch: SinkBatch, stop: Flag) -> None:
        # First, or it would take what came anew since.
        for message, erasure in batch.erasures:
            self._eraser.add(message, erasure)
        deliveries = self._erased.left(batch.deliveries, batch.messages)
        deliveries = self._held.take_in(deliveries, batch.messages, self._eraser.waits())
        self._write_all(deliveries, batch.messages, batch.letters, stop)
        if batch.messages:
            self.heartbeat.processed(len(batch.messages))
        self._progress.read(batch.next_offsets)
        self._commit_if_due()
        if len(self._held) > _HELD:
            self._await_erasing(stop)

    def _write_released(self, stop: Flag) -> None:
        """Write what waited for an erasure that is done."""
        deliveries, messages = self._held.released(self._eraser.waits()) if len(self._held) else ([], {})
        if messages:
            # Another erasure may have been asked for since.
            self._write_all(self._erased.left(deliveries, messages), messages, [], stop)
            self._held.forget(messages.keys())
            self._commit_if_due()

    def _write_all(
        self,
        deliveries: list[Delivery],
        messages: Mapping[tuple[TopicPartition, int], Message],
        letters: list[DeadLetter],
        stop: Flag,
    ) -> None:
        """Write deliveries until each is in the sink or a dead letter, and send the letters."""

        def write() -> None:
            with metrics.timed(self._role, "deliver"):
                self._sink.write(deliveries)

        while deliveries:
            try:
                self._patiently(write, stop, f"writing {len(deliveries)} events")
                break
            except RejectedRow as error:
                for rejection in error.rejections:
                    one = rejection.delivery
                    message = messages[one.partition, one.offset]
                    letters.append(dead_letter(message, self._role, RejectedRow([rejection])))
                    deliveries.remove(one)
        if letters:
            self._patiently(lambda: self._outbox.letters(letters), stop, "sending dead letters")

    def _await_erasing(self, stop: Flag) -> None:
        """Read nothing more until some of what is held may be written: there is too much of it."""

        def released() -> None:
            if not self._held.released(self._eraser.waits())[0]:
                raise SinkUnavailable(f"{len(self._held)} results wait for an erasure")

        self._patiently(released, stop, "reading on")

    def _commit_if_due(self) -> None:
        if time.monotonic() >= self._commit_at:
            self._commit_at = time.monotonic() + self._settings.commit_interval_s
            self._commit_written()

    def _commit_written(self) -> None:
        """Commit what was written, or try again later; what is read again meanwhile is known to the sink."""
        if not (due := self._progress.due()):
            return
        try:
            self._commit(due)
        except KafkaException as error:
            # The partitions are not ours any more, or the broker is away.
            log.warning("%s: offsets not committed: %s", self._role, error)
        else:
            self._progress.committed(due)

    def _patiently(self, act: Callable[[], None], stop: Flag, what: str) -> None:
        """Repeat until the sink answers, staying in the consumer group meanwhile.

        Raises:
            _Revoked: the partitions went elsewhere, or the worker is to stop; nothing is committed.
            RejectedRow: the sink has answered that it will never take some of the events.
        """
        epoch, pause, since = self._epoch, _RETRY_S[0], time.monotonic()
        waited = False
        while True:
            self.heartbeat.begins()
            try:
                act()
            except SinkUnavailable as error:
                log.warning("%s: %s waits for %.0f s: %s", self._role, what, time.monotonic() - since, error)
                self.heartbeat.failed(what, error)
            except RejectedRow:
                # The sink has answered: what was paused for it is read on.
                self._resume(waited)
                raise
            else:
                self.heartbeat.succeeded()
                break
            finally:
                self.heartbeat.ended()
            waited = True
            self._consumer.pause(self._consumer.assignment())
            resume_at = time.monotonic() + pause
            while time.monotonic() < resume_at:
                self.heartbeat.turned()
                self._commit_if_due()
                self._consumer.poll(0.1)
                if stop.is_set() or epoch != self._epoch:
                    raise _Revoked
            pause = min(2 * pause, _RETRY_S[1])
        self._resume(waited)

    def _resume(self, waited: bool) -> None:
        if waited and not self._unclaimed:
            self._reader.resume()

    def _commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        """Commit offsets with the sink's notes, and wait for it."""
        ids = self._topic_ids
        notes = {one: self._sink.note(one) if one.topic in self._topics else "" for one in next_offsets}
        offsets = [
            to_confluent(one, offset, CommitMetadata(text=notes[one], topic_id=ids.get(one.topic)).now())
            for one, offset in next_offsets.items()
        ]
        self._consumer.commit(offsets=offsets, asynchronous=False)
        self.heartbeat.committed(list(next_offsets), all_of_it=True)
