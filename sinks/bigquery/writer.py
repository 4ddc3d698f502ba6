"""Writes results to BigQuery: each event once in the table itself, even if workers die or freeze, or servers are away.

**One write stream per table and worker**, of type COMMITTED. Its name is the note of every partition whose rows go
through it. Rows of a partition are written only through the stream that its committed note names, because:

- a worker writes a partition only after Kafka has accepted the commit of its note, and Kafka accepts commits only from
  the current owner of the partition;
- a new owner first *finalises* the stream in the note that it finds. From then on the previous owner can write nothing
  more, whether it is dead, frozen or slow. If the stream no longer exists, nothing can be written to it either, because
  a name is never given twice. A previous owner that still has other partitions finds its stream finalised, opens a new
  one and commits its name (:class:`sinks.base.SinkFenced`); that succeeds only for partitions that it still owns.

**Which events the table already has** is then read from the table: for a window of event time all at once, and for
older events by their ids (see ``deduplicator``, ``window`` and ``history``). This finds rows whose offsets were not
committed, redeliveries from any time, and the same event at other offsets, and depends on nothing that a restart may
lose. It requires that the same event always comes in the same partition (its key is the user).

**Within a worker**, an append with an unknown outcome is settled before anything else is written, see ``appender``.

It fails if the note is lost (somebody resets the offsets of the group) while the previous owner is frozen; if a
producer whose camera's clock is more than a day ahead sends an event again more than a day later; or if a producer
sends an event again with another time, and a worker that started in between does not look back that far. In these cases
the views still show each event once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from google.api_core import exceptions
from google.cloud.bigquery_storage_v1.types import TableFieldSchema, WriteStream

from schemas.clock import utc_now
from schemas.erasure import ErasedPhoto
from schemas.partition import TopicPartition
from sinks.base import Delivery, Position, RejectedRow, Rejection, Result, RewindRequest, SinkFenced, SinkUnavailable
from sinks.bigquery.appender import Append, Appender, Refused, StreamLost
from sinks.bigquery.client import Address
from sinks.bigquery.columns import Column, micros
from sinks.bigquery.deduplicator import Deduplicator
from sinks.bigquery.erase import erase, erase_in_searches, erase_photo
from sinks.bigquery.history import History
from sinks.bigquery.query import QueryFailed
from sinks.bigquery.rows import RowWriter, row_writer

_ROWS_AT_ONCE = 500
_BYTES_AT_ONCE = 4_000_000
_LARGEST_ROW_BYTES = 9_000_000
_KEYS_OF_A_PARTITION = 200_000
_PROMPT_S = 1.0
_GONE = (exceptions.NotFound, exceptions.InvalidArgument, exceptions.FailedPrecondition)


@dataclass(slots=True)
class _TableWriter:
    """A table and the way rows take to it; ``appender`` is None until a stream is made, and when it is lost.

    ``notes`` names the stream that the note of each of our partitions names, by the partition's number.
    """

    rows: RowWriter
    deduplicator: Deduplicator
    appender: Appender | None = None
    notes: dict[int, str] = field(default_factory=dict)

    def drop_stream(self) -> None:
        """Stop writing through the stream; the next owner of a partition finalises it."""
        if self.appender is not None:
            self.appender.disconnect()
            self.appender = None


class BigQuerySink:
    """A :class:`sinks.base.Sink` for the tables of :mod:`sinks.bigquery.tables`, which must exist (see ``apply``).

    ``topics`` tells which kind of event each topic carries. ``timeout_s`` bounds each call; where the answer to an
    append takes longer, :meth:`write` raises ``SinkUnavailable`` and the next call goes on waiting.
    """

    def __init__(
        self,
        address: Address,
        topics: Mapping[str, type[Result]],
        timeout_s: float = 10.0,
        *,
        is_backfill: bool = False,
    ) -> None:
        """Connects with the first assignment. The rows of a backfill have no latency of writing."""
        self._is_backfill = is_backfill
        self._address = address
        self._timeout_s = timeout_s
        self._client = address.write_client()
        self._rest = address.rest_client()
        self._erasing = address.rest_client()
        """Its own: a client's connections are for one thread."""
        self._in_trouble = False
        self._writers: dict[str, _TableWriter] = {}
        for topic, event_type in topics.items():
            rows = row_writer(event_type)
            history = History(self._rest, address.dataset_id, rows.table, _KEYS_OF_A_PARTITION, timeout_s)
            self._writers[topic] = _TableWriter(rows, Deduplicator(history))

    def assign(self, positions: Sequence[Position]) -> Mapping[TopicPartition, RewindRequest]:
        """Finalise the streams that the notes name, and have one of our own for each table."""
        live = {writer.appender.stream for writer in self._writers.values() if writer.appender}
        for stream in sorted({position.note for position in positions} - live - {""}):
            self._finalise(stream)
        self._in_trouble = False
        for position in positions:
            writer = self._writers[position.partition.topic]
            if writer.appender is None:
                writer.appender = self._new_appender(writer.rows)
            writer.notes[position.partition.partition] = writer.appender.stream
            writer.deduplicator.begin(position.partition.partition)
        return {}

    def revoke(self, partitions: Sequence[TopicPartition]) -> None:
        """Forget the partitions; what is unsettled of them lands before a successor finalises the stream, or never."""
        for partition in partitions:
            writer = self._writers[partition.topic]
            writer.notes.pop(partition.partition, None)
            writer.deduplicator.end(partition.partition)
            if not writer.notes:
                # Some successor is about to finalise the stream: rather begin with a new one than run into that.
                writer.drop_stream()

    def note(self, partition: TopicPartition) -> str:
        """The name of the write stream through which the partition's rows go."""
        return self._writers[partition.topic].notes[partition.partition]

    def close(self) -> None:
        """Close the connections."""
        for writer in self._writers.values():
            writer.drop_stream()
        self._rest.close()  # type: ignore[no-untyped-call]
        self._erasing.close()  # type: ignore[no-untyped-call]
        self._client.transport.close()  # type: ignore[no-untyped-call]

    def check(self) -> None:
        """Nothing to do: BigQuery keeps what it has taken."""

    def erase(
        self,
        user_id: str,
        subject_id: str | None,
        *,
        erasure_id: str | None = None,
        wanted: Callable[[], bool] = lambda: True,
    ) -> dict[str, int]:
        """Delete the rows of a user, or those that name a subject; see :class:`sinks.base.Sink`."""
        try:
            name = erasure_id or str(uuid4())
            return erase(self._erasing, self._address.dataset_id, user_id, subject_id, name=name, wanted=wanted)
        except QueryFailed as error:
            raise SinkUnavailable(f"BigQuery does not delete: {error}") from error

    def erase_photo(
        self,
        user_id: str,
        subject_id: str,
        photo: ErasedPhoto,
        *,
        erasure_id: str,
        wanted: Callable[[], bool] = lambda: True,
    ) -> dict[str, int]:
        """Delete the rows of the uploads of a photo; see :class:`sinks.base.Sink`."""
        dataset = self._address.dataset_id
        try:
            return erase_photo(
                self._erasing, dataset, user_id, subject_id, photo.event_ids, name=erasure_id, wanted=wanted
            )
        except QueryFailed as error:
            raise SinkUnavailable(f"BigQuery does not delete: {error}") from error

    def erase_in_searches(
        self,
        user_id: str,
        subject_id: str | None,
        *,
        erasure_id: str,
        partition: int,
        wanted: Callable[[], bool] = lambda: True,
    ) -> dict[str, int]:
        """Take a user or a subject out of the rows of searches; see :class:`sinks.base.Sink`."""
        try:
            name, dataset = f"{erasure_id}-{partition}", self._address.dataset_id
            return erase_in_searches(self._erasing, dataset, user_id, subject_id, name=name, wanted=wanted)
        except QueryFailed as error:
            raise SinkUnavailable(f"BigQuery does not change rows: {error}") from error

    def write(self, batch: Sequence[Delivery[Result]]) -> None:
        """Append what is not in the tables yet; see :class:`sinks.base.Sink` for what is raised."""
        by_topic: dict[str, list[Delivery[Result]]] = {}
        for delivery in batch:
            by_topic.setdefault(delivery.partition.topic, []).append(delivery)
        for topic, deliveries in by_topic.items():
            self._write(self._writers[topic], deliveries)

    def _write(self, writer: _TableWriter, deliveries: Sequence[Delivery[Result]]) -> None:
        appender = writer.appender
        if appender is None:
            raise SinkFenced(f"{writer.rows.table.name}: the write stream was lost")
        if strange := {
            one.partition for one in deliveries if writer.notes.get(one.partition.partition) != appender.stream
        }:
            raise SinkFenced(f"{writer.rows.table.name}: not assigned, or with a note that is out of date: {strange}")
        try:
            self._settle(writer, appender, deliveries)
            for append in self._appends(writer, deliveries):
                appender.send(append)
            self._settle(writer, appender, deliveries)
        except StreamLost as error:
            # What took this stream has as a rule taken those of the other tables too.
            for other in self._writers.values():
                other.drop_stream()
            raise SinkFenced(f"{writer.rows.table.name}: {error}") from error

    def _appends(self, writer: _TableWriter, deliveries: Sequence[Delivery[Result]]) -> list[Append]:
        fresh = writer.deduplicator.fresh(deliveries, micros(utc_now()))
        return _appends(writer.rows, fresh, self._is_backfill)

    def _settle(self, writer: _TableWriter, appender: Appender, batch: Sequence[Delivery[Result]]) -> None:
        """Wait for all answers; what has landed is remembered, what is refused raised if it is of this batch."""
        deadline = time.monotonic() + self._timeout_s

        def landed(append: Append) -> None:
            writer.deduplicator.mark_written(append.deliveries)

        refused = appender.settle(deadline, landed)
        if refused is not None and not refused.reasons and len(refused.append.rows) > 1:
            # No row is blamed: they are sent one by one.
            for row, delivery in zip(refused.append.rows, refused.append.deliveries, strict=True):
                appender.send(Append([row], [delivery]))
            refused = appender.settle(deadline, landed)
        if refused is not None:
            # A server that is not strict may have taken the other rows of the request.
            writer.deduplicator.invalidate()
            if rejections := [one for one in _rejections(refused) if one.delivery in batch]:
                raise RejectedRow(rejections)

    def _finalise(self, stream: str) -> None:
        """Make sure that nothing more can be written through a stream.

        Raises:
            SinkUnavailable: it is not certain that the stream is finalised.
        """
        began = time.monotonic()
        try:
            rows = self._count_finalised(stream)
            # BigQuery finalises between appends. A compatible server that is in trouble may be in the midst of one.
            while self._in_trouble or time.monotonic() - began > _PROMPT_S:
                time.sleep(_PROMPT_S)
                before, rows = rows, self._count_finalised(stream)
                if rows == before:
                    break
        except _GONE:
            pass
        except exceptions.GoogleAPICallError as error:
            self._in_trouble = True
            raise SinkUnavailable(f"BigQuery: {error}") from error

    def _count_finalised(self, stream: str) -> int:
        """Finalise a stream, once or again, and count the rows in it."""
        answer = self._client.finalize_write_stream(name=stream, retry=None, timeout=self._timeout_s)
        return answer.row_count

    def _new_appender(self, rows: RowWriter) -> Appender:
        table = rows.table
        parent = f"projects/{self._address.project}/datasets/{self._address.dataset}/tables/{table.name}"
        try:
            stream = self._client.create_write_stream(
                parent=parent, write_stream=WriteStream(type_="COMMITTED"), retry=None, timeout=self._timeout_s
            )
        except exceptions.NotFound as error:
            raise SinkUnavailable(f"run `facestream bigquery apply`: {error}") from error
        except exceptions.GoogleAPICallError as error:
            raise SinkUnavailable(f"BigQuery: {error}") from error
        if missing := _missing(stream.table_schema.fields, table.columns):
            raise SinkUnavailable(f"run `facestream bigquery apply`: {table.name} lacks {', '.join(missing)}")
        return Appender(self._client, stream.name, rows.descriptor)


def _appends(rows: RowWriter, deliveries: Sequence[Delivery[Result]], is_backfill: bool) -> list[Append]:
    """Serialise the rows and bundle them.

    Raises:
        RejectedRow: a row cannot be serialised, or is too large for BigQuery.
    """
    written_at = utc_now()
    appends: list[Append] = []
    rejections: list[Rejection[Result]] = []
    size = _BYTES_AT_ONCE
    for delivery in deliveries:
        try:
            row = rows.row(delivery, written_at, is_backfill=is_backfill)
        except (ValueError, TypeError) as error:
            rejections.append(Rejection(delivery, f"it makes no row: {error}"))
            continue
        if len(row) > _LARGEST_ROW_BYTES:
            rejections.append(Rejection(delivery, f"its row has {len(row)} bytes, BigQuery takes {_LARGEST_ROW_BYTES}"))
            continue
        if size + len(row) > _BYTES_AT_ONCE or len(appends[-1].rows) == _ROWS_AT_ONCE:
            appends.append(Append([], []))
            size = 0
        appends[-1].rows.append(row)
        appends[-1].deliveries.append(delivery)
        size += len(row)
    if rejections:
        raise RejectedRow(rejections)
    return appends


def _rejections(refused: Refused) -> list[Rejection[Result]]:
    reasons = refused.reasons or {0: refused.message}
    return [Rejection(refused.append.deliveries[index], f"BigQuery: {reason}") for index, reason in reasons.items()]


def _missing(fields: Sequence[TableFieldSchema], columns: Sequence[Column], path: str = "") -> list[str]:
    """The columns, nested ones too, that a table lacks; none if the server does not tell its schema."""
    if not fields:
        return []
    there = {field.name.lower(): field for field in fields}
    missing = [path + column.name for column in columns if column.name.lower() not in there]
    for column in columns:
        if column.name.lower() in there:
            missing += _missing(there[column.name.lower()].fields, column.columns, f"{path}{column.name}.")
    return missing
