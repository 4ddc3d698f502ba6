"""Fills a table of BigQuery again from what Kafka still has, each event once; see ``facestream bigquery fill``.

Only messages that the sink has committed are read, since the sink writes the others itself. They are written by a sink
of the same kind, with the same protocol, in a consumer group of its own. So of two fills one stops; and a fill that was
killed or frozen is fenced by the next one, which finds the rows that are there in the table.

The sink goes on meanwhile. Afterwards its write streams are finalised, as a successor would do: then it asks the table
again which rows are there. An event that is in Kafka twice, and was written by both before that, loses the row of the
fill.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TypeVar

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException

from schemas import codec
from schemas.clock import utc_now
from sinks.base import Delivery, Position, RejectedRow, Result, SinkFenced, SinkUnavailable
from sinks.bigquery import BigQuerySink
from sinks.bigquery.columns import micros
from sinks.bigquery.query import QueryFailed
from sinks.bigquery.refill import Rows
from sinks.bigquery.rows import row_writer
from streams.kafka import decoding
from streams.kafka.commit_metadata import CommitMetadata
from streams.kafka.connection import KafkaUnavailable, admin_client, answer, consumer
from streams.kafka.consumer_groups import commits, group_id
from streams.kafka.decoding import decode
from streams.kafka.log_reader import LogReader
from streams.kafka.messages import Message, TopicPartition, as_read, to_confluent
from streams.kafka.offsets import first_offsets
from streams.kafka.topics import Topic
from streams.operations.written_log import ErasureLog, dataset, known_rows, written_ranges
from streams.roles import Role
from streams.settings import Settings
from streams.topology import BIGQUERY_EVENTS

_BATCH = 500
_KEYS = 200_000
_PATIENCE_S = 120.0
_JOIN_S = 60.0
_SILENCE_S = 60.0
_TIMEOUT_S = 30.0

T = TypeVar("T")


class BackfillError(Exception):
    """The table cannot be filled now; the message says why and what to do."""


@dataclass(slots=True)
class TableBackfilled:
    """The outcome of filling a table.

    Attributes:
        table: name of the table.
        kept_since: the broker's time from which on Kafka has all messages; None: it has every message there was.
        gone: messages without a row that Kafka does not have any more.
        read: messages that were read.
        filled: rows that were missing and have been written, or would be in a dry run.
        there: messages whose event had a row.
        erased: messages of users or subjects who have been erased.
        unreadable: messages that are no events and never had a row.
        refused: rows that BigQuery does not take.
    """

    table: str
    kept_since: datetime | None = None
    gone: int = 0
    read: int = 0
    filled: int = 0
    there: int = 0
    erased: int = 0
    unreadable: int = 0
    refused: int = 0


@dataclass(slots=True)
class _Batch:
    deliveries: list[Delivery[Result]] = field(default_factory=list)
    messages: dict[tuple[TopicPartition, int], Message] = field(default_factory=dict)
    next_offsets: dict[int, int] = field(default_factory=dict)


class TableBackfill:
    """Fills one table; a context manager, for one thread."""

    def __init__(self, settings: Settings, topic: Topic, *, dry_run: bool, report: Callable[[int, int], None]) -> None:
        """``report`` is called with the numbers of messages that have been read and that are to be read."""
        self._settings = settings
        self._topic = topic
        self._name = topic.named(settings)
        self._dry_run = dry_run
        self._report = report
        self._admin = admin_client(settings)
        address = dataset(settings)
        self._table = row_writer(BIGQUERY_EVENTS[topic]).table
        self._rows = Rows(address.rest_client(), address.dataset_id, self._table, self._name)
        self._deduplicator = known_rows(settings, topic)
        self._sink = BigQuerySink(address, {self._name: BIGQUERY_EVENTS[topic]}, _TIMEOUT_S, is_backfill=True)
        self._group = f"{group_id(Role.SINK_BIGQUERY, settings)}-fill-{self._table.name}"
        self._erasures = ErasureLog(settings)
        self._ranges: dict[int, tuple[int, int]] = {}
        self._next: dict[int, int] = {}
        self._owned: set[int] = set()
        self._claimed = self._lost = False
        self._consumer = consumer(
            settings,
            self._group,
            {
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "session.timeout.ms": round(settings.session_timeout_s * 1000),
                "max.poll.interval.ms": 900_000,
                "partition.assignment.strategy": "range",
                "fetch.message.max.bytes": settings.max_message_bytes,
                "queued.max.messages.kbytes": 32 * 1024,
            },
        )
        self.filled = TableBackfilled(self._table.name)

    def __enter__(self) -> TableBackfill:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()
        self._sink.close()
        self._erasures.close()

    def run(self) -> TableBackfilled:
        """Fill the table.

        Raises:
            BackfillError: another fill of the table runs, or took over.
            SinkUnavailable: BigQuery has not answered for a long time; run it again.
            KafkaUnavailable: no broker answers; run it again.
        """
        self._ranges = written_ranges(self._settings, self._topic)
        self.filled.kept_since = self._kept_since()
        self._next = {number: first for number, (first, _) in self._ranges.items()}
        for number in self._ranges:
            self._deduplicator.begin(number)
        if self._ranges:
            self._join()
            self._read_all()
            # The sink may have written messages to the deleted table and committed them since.
            later = written_ranges(self._settings, self._topic)
            self._ranges = {n: (first, max(end, later.get(n, (0, 0))[1])) for n, (first, end) in self._ranges.items()}
            self._start_reading()
            self._read_all()
            if not self._dry_run:
                self._hand_over()
        self.filled.gone = self._count_gone()
        return self.filled

    def _join(self) -> None:
        """Claim the table for this fill, and fence one that was killed or frozen."""
        if self._dry_run:
            self._start_reading()
            return
        self._consumer.subscribe([self._name], on_assign=self._on_assign, on_revoke=self._on_revoke)
        deadline = time.monotonic() + _JOIN_S
        while not set(self._ranges) <= self._owned:
            if time.monotonic() > deadline:
                raise BackfillError(f"another fill of {self._table.name} runs: wait for it, or stop it")
            self._consumer.poll(0.2)
        self._claim()
        self._claimed = True
        self._start_reading()

    def _on_assign(self, consumer: confluent_kafka.Consumer, partitions: list[confluent_kafka.TopicPartition]) -> None:
        self._owned = {one.partition for one in partitions}
        consumer.assign(partitions)
        consumer.pause(partitions)

    def _on_revoke(self, consumer: confluent_kafka.Consumer, _: list[confluent_kafka.TopicPartition]) -> None:
        self._owned = set()
        self._lost = self._claimed
        consumer.unassign()

    def _claim(self) -> None:
        """Finalise the write stream of the fill before this one, and commit the name of our own for the next."""
        before = commits(self._settings, self._group)
        starts = {TopicPartition(self._name, n): first for n, (first, _) in self._ranges.items()}
        positions = [
            Position(one, first, before[one].note.text if one in before else "") for one, first in starts.items()
        ]
        self._patiently(lambda: self._sink.assign(positions))
        offsets = [
            to_confluent(one.partition, one.offset, CommitMetadata(text=self._sink.note(one.partition)).now())
            for one in positions
        ]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            raise BackfillError(f"another fill of {self._table.name} took over: {error.args[0].str()}") from error

    def _start_reading(self) -> None:
        """Assign each partition at its next offset."""
        starts = [to_confluent(TopicPartition(self._name, n), self._next[n]) for n in self._open()]
        self._consumer.assign(starts)
        self._consumer.resume(starts)

    def _open(self) -> list[int]:
        return [number for number, (_, end) in self._ranges.items() if self._next[number] < end]

    def _read_all(self) -> None:
        heard = time.monotonic()
        while self._open():
            batch = _Batch()
            got = self._consumer.consume(_BATCH, 1.0)
            if self._lost:
                raise BackfillError(f"another fill of {self._table.name} took over")
            for message in got:
                self._take(message, batch)
            if batch.next_offsets:
                heard = time.monotonic()
                self._write(batch)
                self._next |= batch.next_offsets
                self._report(self.filled.read, sum(end - first for first, end in self._ranges.values()))
            elif time.monotonic() - heard > _SILENCE_S:
                raise KafkaUnavailable(f"{self._settings.kafka} has stopped answering while {self._name} was read")

    def _take(self, message: confluent_kafka.Message, batch: _Batch) -> None:
        number, error = message.partition() or 0, message.error()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF and number in self._ranges:
                batch.next_offsets[number] = max(self._ranges[number][1], self._next[number])
            return
        offset = message.offset() or 0
        if number not in self._ranges or offset >= self._ranges[number][1]:
            if number in self._ranges:
                batch.next_offsets[number] = self._ranges[number][1]
            return
        read = as_read(message)
        partition = TopicPartition(self._name, number)
        batch.next_offsets[number] = offset + 1
        self.filled.read += 1
        try:
            event = decode(read, BIGQUERY_EVENTS[self._topic])
        except decoding.InvalidMessage:
            self.filled.unreadable += 1
            return
        batch.messages[partition, offset] = read
        batch.deliveries.append(Delivery(partition, offset, event))

    def _write(self, batch: _Batch) -> None:
        """Write the missing rows except those of erased people, and remove rows of people erased meanwhile."""
        self._erasures.update()
        left = self._erasures.known.left(batch.deliveries, batch.messages)
        self.filled.erased += len(batch.deliveries) - len(left)
        written = self._write_missing(left)
        self.filled.there += len(left) - len(written)
        while not self._dry_run and written and self._erasures.update():
            still = self._erasures.known.left(written, batch.messages)
            kept = {(one.partition, one.offset): one for one in still}
            changed = [one for one in written if kept.get((one.partition, one.offset)) is not one]
            if not changed:
                return
            places = [(one.partition, one.offset) for one in changed]
            self._patiently(partial(self._rows.remove, places))
            self._deduplicator.invalidate()
            self._claim()  # What this fill's sink knows of the table does not hold any more either.
            self.filled.filled -= len(changed)
            self.filled.erased += len(written) - len(still)
            written = self._write_missing([kept[place] for place in places if place in kept])

    def _write_missing(self, deliveries: Sequence[Delivery[Result]]) -> list[Delivery[Result]]:
        """Write the deliveries that have no row; return them."""
        fresh = self._patiently(lambda: self._deduplicator.fresh(deliveries, micros(utc_now())))
        while fresh and not self._dry_run:
            try:
                self._patiently(partial(self._sink.write, fresh))
                break
            except RejectedRow as error:
                self.filled.refused += len(error.deliveries)
                fresh = [one for one in fresh if one not in error.deliveries]
        self._deduplicator.mark_written(fresh)
        self.filled.filled += len(fresh)
        return fresh

    def _hand_over(self) -> None:
        """Let the sink ask the table again, and remove our rows of events that it has written too."""
        ends = {number: end for number, (_, end) in self._ranges.items()}
        if self.filled.filled:
            theirs = commits(self._settings, group_id(Role.SINK_BIGQUERY, self._settings))
            own = {TopicPartition(self._name, n): end for n, end in ends.items()}
            positions = [Position(one, end, theirs[one].note.text) for one, end in own.items() if one in theirs]
            self._patiently(lambda: self._sink.assign(positions))
            doubled = self._patiently(lambda: self._rows.remove_doubled(ends))
            self.filled.filled -= doubled
            self.filled.there += doubled
        self._consumer.close()
        with suppress(KafkaException, TimeoutError):
            # Nobody needs our commits any more; the next fill starts from the beginning.
            answer(self._admin.delete_consumer_groups([self._group])[self._group], _TIMEOUT_S)

    def _kept_since(self) -> datetime | None:
        """The time from which on Kafka has all messages."""
        with closing(LogReader(self._settings, self._topic)) as log:
            firsts = {n: first for n, (first, _) in self._ranges.items() if first > 0}
            ranges = log.up_to({n: first + 1 for n, first in firsts.items()})
            oldest = [message.timestamp_ms for message in log.messages(ranges)]
        return codec.from_micros(max(oldest) * 1000) if oldest else None

    def _count_gone(self) -> int:
        """The number of messages without a row that Kafka does not have any more, events or not."""
        parts = [TopicPartition(self._name, number) for number in range(self._settings.partitions)]
        found = first_offsets(self._admin, parts)
        firsts = {one.partition: first for one, first in found.items() if first > 0}
        return max(0, sum(firsts.values()) - self._patiently(lambda: self._rows.below(firsts))) if firsts else 0

    def _patiently(self, act: Callable[[], T]) -> T:
        """Repeat until BigQuery answers.

        Raises:
            SinkUnavailable: it has not answered for a long time.
            BackfillError: BigQuery refuses, or another fill took over.
        """
        since, pause = time.monotonic(), 0.2
        while True:
            try:
                return act()
            except SinkFenced:
                self._claim()
            except QueryFailed as error:
                raise BackfillError(f"BigQuery refuses: {error}; see `facestream doctor`") from error
            except SinkUnavailable:
                if time.monotonic() - since > _PATIENCE_S:
                    raise
                time.sleep(pause)
                pause = min(2 * pause, 5.0)
