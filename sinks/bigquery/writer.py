"""Write results to BigQuery, each event once in the table itself, whatever is killed, frozen or away meanwhile.

**One write stream for each table and worker**, of type COMMITTED, its name being the note of every partition whose rows
go through it. Rows of a partition land only through the stream that the partition's committed note names, since:

- a worker writes a partition only after Kafka took the commit of its note, and Kafka takes commits only from the
  partition's present owner;
- whoever takes a partition over first *finalises* the stream of the note it finds. From then on nothing of the
  predecessor can land, be it dead, frozen, or slow; and if the stream is not there any more, nothing can land either,
  because a name is never given twice. A predecessor that lives on with other partitions finds its stream finalised,
  takes a new one and commits its name (:class:`sinks.base.SinkFenced`), which it can only for partitions that are
  still its own.

**What is in the table already** is then asked of the table: for a window of event time all at once, for events older
than it one by one (see ``window`` and ``history``). This finds what was written and not committed, redeliveries from
however far back, and the same event at other offsets, and needs no trust in anything that a restart may have lost. It
holds as long as the same event comes in the same partition (its key is the user).

**Within a worker** an append of unknown outcome is settled before anything else is written, see ``appender``.

Where it does not hold: if the note is lost (offsets of the group reset by hand) while a predecessor is frozen; or if a
producer, whose camera's clock is more than a day ahead, sends an event again more than that later. Then the views,
which show each event once, are the second line.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from google.api_core import exceptions
from google.cloud.bigquery_storage_v1.types import TableFieldSchema, WriteStream

from schemas.events import utc_now
from sinks.base import Delivery, Partition, Position, RejectedRow, Rejection, Result, SinkFenced, SinkUnavailable
from sinks.bigquery.appender import Append, Appender, Refused, StreamLost
from sinks.bigquery.client import Address
from sinks.bigquery.history import History
from sinks.bigquery.rows import event_time, micros, row_writer
from sinks.bigquery.tables import Column
from sinks.bigquery.window import Load, Window, key_of

_ROWS_AT_ONCE = 500
_BYTES_AT_ONCE = 4_000_000
_LARGEST_ROW_BYTES = 9_000_000
_KEYS_OF_A_PARTITION = 200_000
_GONE = (exceptions.NotFound, exceptions.InvalidArgument, exceptions.FailedPrecondition)


@dataclass(slots=True)
class _Owned:
    """A partition that is ours: the stream that its note names, and what of it is in the table."""

    stream: str
    window: Window


@dataclass(slots=True)
class _Lane:
    """A table and the way rows take to it; ``appender`` is None until a stream is made, and when it is lost."""

    event_type: type[Result]
    history: History
    appender: Appender | None = None
    owned: dict[int, _Owned] = field(default_factory=dict)


class BigQuerySink:
    """A :class:`sinks.base.Sink` for the tables of :mod:`sinks.bigquery.tables`, which must exist (see ``apply``).

    ``topics`` tells which kind of event each topic carries. ``timeout_s`` bounds each call; where the answer to an
    append takes longer, :meth:`write` raises ``SinkUnavailable`` and the next call goes on waiting.
    """

    def __init__(self, address: Address, topics: Mapping[str, type[Result]], timeout_s: float = 10.0) -> None:
        """Connects with the first assignment."""
        self._address = address
        self._timeout_s = timeout_s
        self._client = address.write_client()
        rest = address.rest_client()
        self._lanes: dict[str, _Lane] = {}
        for topic, event_type in topics.items():
            table = row_writer(event_type).table
            history = History(rest, address.dataset_id, table, _KEYS_OF_A_PARTITION, timeout_s)
            self._lanes[topic] = _Lane(event_type, history)

    def assign(self, positions: Sequence[Position]) -> None:
        """Finalise the streams that the notes name, and have one of our own for each table."""
        live = {lane.appender.stream for lane in self._lanes.values() if lane.appender}
        for stream in sorted({position.note for position in positions} - live - {""}):
            self._finalise(stream)
        for position in positions:
            lane = self._lanes[position.partition.topic]
            if lane.appender is None:
                lane.appender = self._new_appender(lane)
            lane.owned[position.partition.number] = _Owned(lane.appender.stream, Window(_KEYS_OF_A_PARTITION))

    def revoke(self, partitions: Sequence[Partition]) -> None:
        """Forget the partitions; what is unsettled of them lands before a successor finalises the stream, or never."""
        for partition in partitions:
            self._lanes[partition.topic].owned.pop(partition.number, None)

    def note(self, partition: Partition) -> str:
        """The name of the write stream through which the partition's rows go."""
        return self._lanes[partition.topic].owned[partition.number].stream

    def close(self) -> None:
        """Close the connections."""
        for lane in self._lanes.values():
            if lane.appender is not None:
                lane.appender.disconnect()
            lane.history.client.close()  # type: ignore[no-untyped-call]
        self._client.transport.close()

    def write(self, batch: Sequence[Delivery]) -> None:
        """Append what is not in the tables yet; see :class:`sinks.base.Sink` for what is raised."""
        by_lane: dict[str, list[Delivery]] = {}
        for delivery in batch:
            by_lane.setdefault(delivery.partition.topic, []).append(delivery)
        for topic, deliveries in by_lane.items():
            self._write(self._lanes[topic], deliveries)

    def _write(self, lane: _Lane, deliveries: Sequence[Delivery]) -> None:
        appender = lane.appender
        if appender is None or any(
            (owned := lane.owned.get(delivery.partition.number)) is None or owned.stream != appender.stream
            for delivery in deliveries
        ):
            raise SinkFenced(f"{lane.history.table.name}: the write stream was lost, or a partition is not ours")
        try:
            self._settle(lane, appender)
            fresh = self._not_yet_written(lane, deliveries)
            for append in _appends(lane, fresh):
                appender.send(append)
            self._settle(lane, appender)
        except StreamLost as error:
            lane.appender = None
            raise SinkFenced(f"{lane.history.table.name}: {error}") from error

    def _settle(self, lane: _Lane, appender: Appender) -> None:
        """Wait for all answers; the landed are remembered, the refused raised."""
        deadline = time.monotonic() + self._timeout_s
        refused = appender.settle(deadline, lambda append: _remember(lane, append.deliveries))
        while refused is not None and not refused.reasons and len(refused.append.rows) > 1:
            # No row is blamed: try them one by one.
            for row, delivery in zip(refused.append.rows, refused.append.deliveries, strict=True):
                appender.send(Append([row], [delivery]))
            refused = appender.settle(deadline, lambda append: _remember(lane, append.deliveries))
        if refused is not None:
            for owned in lane.owned.values():
                # A server that is not strict may have taken the other rows of the request.
                owned.window = Window(_KEYS_OF_A_PARTITION)
            raise RejectedRow(_rejections(refused))

    def _not_yet_written(self, lane: _Lane, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """The deliveries whose events have no row yet, each event once."""
        now = micros(utc_now())
        self._widen(lane, deliveries, now)
        unsure = [one for one in deliveries if not _covered(lane, one, now)]
        written = lane.history.written([one.event for one in unsure]) if unsure else set()
        fresh: dict[bytes, Delivery] = {}
        for delivery in deliveries:
            key = key_of(delivery.event)
            if key in written or key in fresh:
                continue
            if _covered(lane, delivery, now) and (_time(delivery), key) in lane.owned[delivery.partition.number].window:
                continue
            fresh[key] = delivery
        return list(fresh.values())

    def _widen(self, lane: _Lane, deliveries: Sequence[Delivery], now: int) -> None:
        """Load from the table what the windows lack for these events."""
        if lane.history.table.event_time is None:
            return
        times: dict[int, list[int]] = {}
        for delivery in deliveries:
            times.setdefault(delivery.partition.number, []).append(_time(delivery))
        wanted = {number: lane.owned[number].window.wanted(some, now) for number, some in times.items()}
        for extends in (False, True):
            loads: dict[int, Load] = {n: load for n, load in wanted.items() if load and load.extends is extends}
            if loads:
                for number, items in lane.history.load(loads, extends=extends).items():
                    lane.owned[number].window.loaded(loads[number], items, lane.history.limit)

    def _finalise(self, stream: str) -> None:
        """See to it that nothing lands through a stream any more.

        Raises:
            SinkUnavailable: it is not known to be so.
        """
        try:
            self._client.finalize_write_stream(name=stream, retry=None, timeout=self._timeout_s)
        except _GONE:
            return
        except exceptions.GoogleAPICallError as error:
            raise SinkUnavailable(f"BigQuery: {error}") from error

    def _new_appender(self, lane: _Lane) -> Appender:
        table = lane.history.table
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
        return Appender(self._client, stream.name, row_writer(lane.event_type).descriptor)


def _time(delivery: Delivery) -> int:
    time = event_time(delivery.event)
    return 0 if time is None else micros(time)


def _covered(lane: _Lane, delivery: Delivery, now: int) -> bool:
    return lane.owned[delivery.partition.number].window.covers(_time(delivery), now)


def _remember(lane: _Lane, deliveries: Iterable[Delivery]) -> None:
    for delivery in deliveries:
        if owned := lane.owned.get(delivery.partition.number):
            owned.window.add(_time(delivery), key_of(delivery.event))


def _appends(lane: _Lane, deliveries: Sequence[Delivery]) -> list[Append]:
    """Serialise the rows and bundle them.

    Raises:
        RejectedRow: a row cannot be serialised, or is too large for BigQuery.
    """
    writer, written_at = row_writer(lane.event_type), utc_now()
    appends: list[Append] = []
    rejections: list[Rejection] = []
    size = _BYTES_AT_ONCE
    for delivery in deliveries:
        try:
            row = writer.row(delivery, written_at)
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


def _rejections(refused: Refused) -> list[Rejection]:
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
