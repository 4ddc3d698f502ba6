"""Commits what a sink has written, with the sink's notes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

import confluent_kafka
from confluent_kafka import KafkaException

from streams.engine.sink_progress import SinkProgress
from streams.kafka.commit_metadata import CommitMetadata
from streams.kafka.messages import TopicPartition, to_confluent
from streams.observability.heartbeat import WorkerHeartbeat

log = logging.getLogger(__name__)


class Committer(Protocol):
    """The part of a consumer that commits."""

    def commit(self, *, offsets: list[confluent_kafka.TopicPartition], asynchronous: Literal[False]) -> Any:
        """Commit offsets, and wait for the broker.

        Raises:
            KafkaException: it did not take them.
        """


class SinkCommits:
    """Commits for one worker; for one thread."""

    def __init__(
        self,
        consumer: Committer,
        progress: SinkProgress,
        heartbeat: WorkerHeartbeat,
        note: Callable[[TopicPartition], str],
        interval_s: float,
    ) -> None:
        """Make one.

        Args:
            consumer: the worker's.
            progress: says how far to commit.
            heartbeat: of the worker; it is told of every commit.
            note: what the sink leaves for its successor with the offset of a partition.
            interval_s: seconds between two commits.
        """
        self._consumer = consumer
        self._progress = progress
        self._heartbeat = heartbeat
        self._note = note
        self._interval_s = interval_s
        self._due_at = 0.0
        self.topic_ids: Mapping[str, str] = {}
        """Committed with the offsets: those of a topic that was created again since are void."""

    def commit_regularly(self) -> None:
        """Commit what is done, if it is time to."""
        if time.monotonic() >= self._due_at:
            self._due_at = time.monotonic() + self._interval_s
            self.commit_done()

    def commit_done(self) -> None:
        """Commit what is done, or try again later; what is read again meanwhile is known to the sink."""
        if not (due := self._progress.due()):
            return
        try:
            self.commit(due)
        except KafkaException as error:
            # The partitions are not ours any more, or the broker is away.
            log.warning("%s: offsets not committed: %s", self._heartbeat.role, error)
        else:
            self._progress.committed(due)

    def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        """Commit offsets, and wait for it.

        Raises:
            KafkaException: the broker did not take them.
        """
        ids = self.topic_ids
        notes = {one: CommitMetadata(text=self._note(one), topic_id=ids.get(one.topic)) for one in next_offsets}
        offsets = [to_confluent(one, offset, notes[one].now()) for one, offset in next_offsets.items()]
        self._consumer.commit(offsets=offsets, asynchronous=False)
        self._heartbeat.committed(list(next_offsets), all_of_it=True)
