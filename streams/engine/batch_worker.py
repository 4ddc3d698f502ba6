"""Drives a processor of batches, as a sink is: reads events in its own consumer group, has them processed, and only
then commits.

One thread, confluent-kafka, no Faust: this needs no tables, but the exact moment of assignment, revocation and commit.
While a service is away its partitions are paused and the consumer stays in its group, so nothing is lost, nothing
grows, and the other workers go on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from threading import Event as Flag
from typing import Generic

import confluent_kafka

from sinks.base import BatchProcessor, SinkFenced
from streams import traces
from streams.dead_letters.sender import Outbox
from streams.engine.held_results import HeldResults
from streams.engine.result_writer import ResultWriter
from streams.engine.sink_batch import SinkBatch
from streams.engine.sink_claim import SinkClaim
from streams.engine.sink_commits import SinkCommits
from streams.engine.sink_erasure import SinkEraser
from streams.engine.sink_progress import SinkProgress
from streams.engine.sink_reader import SinkReader, sink_consumer
from streams.engine.sink_retry import SinkRetry
from streams.engine.start_offsets import StartOffsets
from streams.kafka.consumer_groups import group_id
from streams.kafka.messages import TopicPartition, from_client
from streams.kafka.topics import Topic
from streams.observability.heartbeat import ConsumerStatus, WorkerHeartbeat
from streams.privacy.erasures import E, Erasures
from streams.roles import Role
from streams.settings import Settings

log = logging.getLogger(__name__)


class _Revoked(Exception):
    """The partitions of the batch in hand went to another worker, which writes it, or the worker is to stop."""


class BatchWorker(Generic[E]):
    """Reads topics and has one processor take every event in them."""

    def __init__(
        self,
        role: Role,
        settings: Settings,
        processor: BatchProcessor[E],
        events: Mapping[Topic, type[E]],
        *,
        batch_size: int,
        linger_s: float,
        client_id: str,
        makes_dead_letters: bool,
    ) -> None:
        """Make one.

        Args:
            role: whose consumer group reads.
            settings: of the worker.
            processor: takes the events.
            events: the topics to read, and what each carries; ``erasures`` is read besides.
            batch_size: most messages of a batch.
            linger_s: how long a batch waits for more messages.
            client_id: what the worker is called in its group.
            makes_dead_letters: of messages that cannot be read; otherwise they are left out, for another role.
        """
        erasures, group = Topic.ERASURES.named(settings), group_id(role, settings)
        self._role = role
        self._processor = processor
        self._topics = {topic.named(settings): event_type for topic, event_type in events.items()}
        self._subscription = [*self._topics, erasures]
        self._batch_size = batch_size
        self._linger_s = linger_s
        self._makes_dead_letters = makes_dead_letters
        self._stop = Flag()
        self._unclaimed: list[TopicPartition] = []
        self.heartbeat = WorkerHeartbeat(role)
        self._facts = ConsumerStatus(False, frozenset())
        self._consumer = sink_consumer(settings, group, client_id, lingers=linger_s > 0)
        self._reader = SinkReader(self._consumer, settings, self.heartbeat)
        self._retry = SinkRetry(self.heartbeat, self._wait, self._resume)
        self._eraser = SinkEraser(role, settings, processor, erasures, self.heartbeat)
        erased, held = Erasures(), HeldResults[E]()
        self._progress = SinkProgress(held, self._eraser)
        self._commits = SinkCommits(
            self._consumer, self._progress, self.heartbeat, self._note, settings.commit_interval_s
        )
        self._writer = ResultWriter(role, processor, Outbox(role, settings), self._eraser, erased, held, self._retry)
        offsets = StartOffsets(settings, group, self._consumer, {erasures})
        known = frozenset(self._topics)
        self._claim = SinkClaim(processor, known, offsets, self._eraser, erased, self._progress, self._commits)

    def facts(self) -> ConsumerStatus:
        """How the worker stands in its group; from any thread."""
        return self._facts

    def run(self, stop: Flag) -> None:
        """Work until ``stop`` is set, then finish the batch in hand, commit and leave the group.

        Raises:
            KafkaException: the client cannot go on; a restarted worker begins at the committed offsets.
        """
        self._stop = stop
        self._consumer.subscribe(
            self._subscription, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
        )
        self._eraser.start()
        try:
            while not stop.is_set():
                self.heartbeat.turned()
                try:
                    if self._unclaimed:
                        self._take_over()
                    else:
                        self._work()
                except _Revoked:
                    log.info("%s: the partitions in hand went elsewhere; their owner writes the batch", self._role)
                except SinkFenced as error:
                    log.warning("%s: %s; finding out what was written", self._role, error)
                    self._claim_again()
        finally:
            self._commits.commit_done()
            self._eraser.stop()
            self._consumer.close()

    def _work(self) -> None:
        """Read a batch, write it, and commit; look now and then after what else may be wrong."""
        batch: SinkBatch[E] = SinkBatch()
        for message in self._reader.read(self._batch_size, self._linger_s):
            batch.add(message, self._topics, self._role, makes_dead_letters=self._makes_dead_letters)
        batch.next_offsets.update(self._reader.moved())
        messages = batch.messages.values()
        with traces.processed(self._role, ((one.source.topic, one.value, one.headers) for one in messages)):
            self._writer.write(batch)
        if batch.messages:
            self.heartbeat.processed(len(batch.messages))
            self.heartbeat.reached(batch.messages.values())
        self._progress.read(batch.next_offsets)
        self._commits.commit_regularly()
        self._writer.await_room()
        if self._writer.write_released():
            self._commits.commit_regularly()
        self._reader.retry()
        if self._reader.stalled():
            self._claim_again()
        self._check()

    def _on_assign(self, consumer: confluent_kafka.Consumer, partitions: list[confluent_kafka.TopicPartition]) -> None:
        self._unclaimed = [from_client(one) for one in partitions]
        self._reader.forget()
        self._facts = ConsumerStatus(not partitions, frozenset(self._unclaimed))
        consumer.assign(partitions)
        if partitions:
            consumer.pause(partitions)

    def _on_revoke(self, consumer: confluent_kafka.Consumer, partitions: list[confluent_kafka.TopicPartition]) -> None:
        self._commits.commit_done()
        self._progress.forget()
        self._eraser.drop({one.partition for one in partitions})
        self._unclaimed = []
        self._reader.forget()
        self._facts = ConsumerStatus(False, frozenset())
        self.heartbeat.reassigned()
        self._processor.revoke([one for one in map(from_client, partitions) if one.topic in self._topics])
        consumer.unassign()

    def _take_over(self) -> None:
        """Let the processor find out what was written, shut predecessors out, and begin to read."""
        partitions = self._unclaimed
        starts: dict[TopicPartition, int] = {}
        self._retry.until_available(
            lambda: starts.update(self._claim.take_over(partitions)), f"taking over {len(partitions)} partitions"
        )
        self._unclaimed = []
        self._reader.begin(starts)
        self._facts = replace(self._facts, ready=True)
        log.info("%s: owns %d partitions", self._role, len(partitions))

    def _claim_again(self) -> None:
        """Go back to the committed offsets, as after a rebalance."""
        self._unclaimed = [from_client(one) for one in self._consumer.assignment()]
        self._progress.forget()
        self._reader.forget()

    def until_available(self, act: Callable[[], None], what: str) -> None:
        """Call ``act`` until it does not raise ``SinkUnavailable``, and stay in the group meanwhile.

        Args:
            act: the attempt; safe to repeat.
            what: the same in words, for the log and the worker's health.
        """
        self._retry.until_available(act, what)

    def _check(self) -> None:
        """Look after what else may be wrong; called between batches."""

    def _wait(self, seconds: float) -> None:
        """Stay in the group for a while, without reading.

        Raises:
            _Revoked: nothing of the batch in hand may be committed any more.
        """
        assignments, until = self._reader.assignments, time.monotonic() + seconds
        self._consumer.pause(self._consumer.assignment())
        while time.monotonic() < until:
            self.heartbeat.turned()
            self._commits.commit_regularly()
            self._consumer.poll(0.1)
            if self._stop.is_set() or assignments != self._reader.assignments:
                raise _Revoked

    def _resume(self) -> None:
        if not self._unclaimed:  # which are resumed when they are taken over
            self._reader.resume()

    def _note(self, partition: TopicPartition) -> str:
        """What the processor leaves for its successor; of ``erasures`` it knows nothing."""
        return self._processor.note(partition) if partition.topic in self._topics else ""
