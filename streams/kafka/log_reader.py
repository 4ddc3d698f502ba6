"""Reads parts of a topic's log, each from one offset to another, outside any consumer group.

Three errors say what can be wrong: :class:`LogTruncated`, ``TopicMissing`` and ``KafkaUnavailable``.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self, TypeVar

import confluent_kafka
import tenacity
from confluent_kafka import OFFSET_INVALID, KafkaError, KafkaException
from prometheus_client import Counter

from schemas import codec
from schemas.errors import CodecError
from schemas.registry import Event
from schemas.replays import OffsetRange
from streams.kafka.connection import KafkaUnavailable, consumer, metadata, not_yet
from streams.kafka.messages import Message, TopicPartition, as_read, to_confluent
from streams.kafka.partitioner import partition_of
from streams.kafka.rights import not_there
from streams.kafka.topics import Topic
from streams.kafka.unreadable import ReadersUnreadable
from streams.settings import Settings

E = TypeVar("E", bound=Event)

LOG_RECORDS = Counter(
    "facestream_log_records", "Records read outside the consumer group, to answer a query.", ["topic"]
)
_TIMEOUT_S = 15.0
_SILENCE_S = 15.0
_AT_ONCE = 256
_MOST_AT_ONCE = 100_000
_PICTURES_AT_ONCE = 16
"""Fewer, since a picture may have megabytes."""


class LogTruncated(Exception):
    """Messages that were to be read are no longer in the log."""


class LogReader:
    """One topic; a context manager."""

    def __init__(self, settings: Settings, topic: Topic | str) -> None:
        """Connects when it is asked something. A text is a whole name, of a changelog."""
        self._settings = settings
        self.name = topic.named(settings) if isinstance(topic, Topic) else topic
        self._at_once = _PICTURES_AT_ONCE if topic in (Topic.UPLOADS, Topic.FRAMES) else _AT_ONCE
        self._consumer = consumer(
            settings,
            f"facestream-replay-{uuid.uuid4()}",
            {
                "enable.partition.eof": True,
                "fetch.message.max.bytes": settings.max_message_bytes,
                "queued.max.messages.kbytes": 32 * 1024,
                "fetch.wait.max.ms": 100,
            },
        )
        self._open: dict[int, int] = {}
        self._unreadable = ReadersUnreadable(settings, self._consumer, self.name)
        self._silent_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()

    @property
    def at_end(self) -> bool:
        """Whether everything that was to be read has been given, and nothing is left that :meth:`read` has to say."""
        return not self._open and not self._unreadable.numbers

    def between(self, start: datetime, end: datetime) -> list[OffsetRange]:
        """The messages with ``start`` ≤ broker's time stamp < ``end``; partitions without any are left out.

        Raises:
            LogTruncated: some of them are gone.
            TopicMissing: there is no such topic.
            NotAllowed: this client may not see it.
            KafkaUnavailable: no broker answers.
        """
        numbers = self._numbers()
        ends = self._ends(numbers)
        first, last = self._offsets(numbers, start, ends), self._offsets(numbers, end, ends)
        if start.timestamp() > 0:
            self._check_complete(start, {n: low for n, (low, _) in ends.items() if 0 < low == first[n]})
        return [OffsetRange(n, first[n], first[n], last[n]) for n in numbers if first[n] < last[n]]

    def last(self, count: int) -> list[OffsetRange]:
        """The last messages of each partition.

        Raises:
            KafkaUnavailable, TopicMissing: see :meth:`between`.
        """
        found = []
        for number, (low, high) in self._ends(self._numbers()).items():
            found.append(OffsetRange(number, max(low, high - count), max(low, high - count), high))
        return [one for one in found if one.first_offset < one.end_offset]

    def since(self, positions: Mapping[int, int]) -> list[OffsetRange]:
        """What has come since these next offsets, from the beginning where there is none.

        Raises:
            KafkaUnavailable, TopicMissing: see :meth:`between`.
        """
        starts = {n: (max(low, positions.get(n, 0)), high) for n, (low, high) in self._ends(self._numbers()).items()}
        return [OffsetRange(n, start, start, high) for n, (start, high) in starts.items() if start < high]

    def bounds(self) -> dict[int, tuple[int, int]]:
        """The first offset that is still there and the next one, by partition number.

        Raises:
            KafkaUnavailable, TopicMissing: see :meth:`between`.
        """
        return self._ends(self._numbers())

    def up_to(self, ends: Mapping[int, int] | None) -> list[OffsetRange]:
        """What there is before these offsets, and none of partitions that are not named; None: all there is now.

        Raises:
            KafkaUnavailable, TopicMissing: see :meth:`between`.
        """
        ranges = self.since({})
        if ends is not None:
            ranges = [replace(one, end_offset=min(one.end_offset, ends.get(one.partition, 0))) for one in ranges]
        return [one for one in ranges if one.first_offset < one.end_offset]

    def from_time(self, start: datetime, partitions: Collection[int] | None = None) -> list[OffsetRange]:
        """What there is from a time on, by the brokers' clocks, in these partitions; None: in all.

        Raises:
            KafkaUnavailable, TopicMissing: see :meth:`between`.
        """
        numbers = [number for number in self._numbers() if partitions is None or number in partitions]
        ends = self._ends(numbers)
        firsts = self._offsets(numbers, start, ends)
        return [OffsetRange(n, at, at, ends[n][1]) for n in numbers if (at := max(firsts[n], ends[n][0])) < ends[n][1]]

    def partition_of(self, key: str) -> int:
        """The partition to which producers send a key, as long as the topic has as many as it has now.

        Raises:
            KafkaUnavailable, TopicMissing: see :meth:`between`.
        """
        return partition_of(key, len(self._numbers()))

    def open(self, ranges: Sequence[OffsetRange]) -> None:
        """Begin to read these ranges, each from where it goes on.

        Raises:
            LogTruncated: some of it is gone.
            KafkaUnavailable: no broker answers.
        """
        left = [one for one in ranges if one.next_offset < one.end_offset]
        ends = self._ends([one.partition for one in left])
        if gone := [one for one in left if one.next_offset < ends[one.partition][0]]:
            raise LogTruncated(
                f"{self.name} no longer holds the messages of partition {gone[0].partition} from offset "
                f"{gone[0].next_offset} to {ends[gone[0].partition][0]}"
            )
        self._open = {one.partition: one.end_offset for one in left}
        self._unreadable.begin({one.partition: one.next_offset for one in left})
        self._consumer.assign([self._part(one.partition, one.next_offset) for one in left])
        self._silent_s = 0.0

    def read(self, timeout_s: float) -> list[Message]:
        """Some of the messages of the open ranges, in order within a partition; none where none came in time.

        Raises:
            KafkaUnavailable: it stopped answering.
            LogUnreadable: all has been given but what nobody can decode.
        """
        found: list[Message] = []
        asked = time.monotonic()
        got = self._consumer.consume(self._at_once, timeout_s)
        # Only the time spent waiting counts: between two calls the reader may do what it likes.
        self._silent_s += time.monotonic() - asked
        for message in got:
            if self._unreadable.meets(message):
                self._give_up_unreadable()
                continue
            error, number, offset = message.error(), message.partition() or 0, message.offset() or 0
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                continue
            self._silent_s = 0.0
            if number not in self._open:
                continue
            if error is None and offset < self._open[number]:
                found.append(as_read(message))
            if error is not None or offset + 1 >= self._open[number]:
                del self._open[number]
                self._consumer.incremental_unassign([self._part(number)])
        LOG_RECORDS.labels(self.name).inc(len(found))
        if not self._open and not found:
            self._unreadable.tell()
        if self._open and self._silent_s > _SILENCE_S:
            if self._unreadable.silent(self._open):
                self._give_up_unreadable()
                return found
            raise KafkaUnavailable(f"{self._settings.kafka} has stopped answering while {self.name} was read")
        return found

    def _give_up_unreadable(self) -> None:
        self._open = {number: end for number, end in self._open.items() if number not in self._unreadable.numbers}
        self._silent_s = 0.0

    def messages(self, ranges: Sequence[OffsetRange]) -> Iterator[Message]:
        """All messages of these ranges.

        Raises:
            KafkaUnavailable: it stopped answering.
        """
        self.open(ranges)
        while not self.at_end:
            yield from self.read(0.1)

    def _numbers(self) -> list[int]:
        there = metadata(self._consumer, self._settings).topics
        if self.name not in there:
            raise not_there(self._settings, [self.name])
        return sorted(there[self.name].partitions)

    def _ends(self, numbers: Sequence[int]) -> dict[int, tuple[int, int]]:
        """The first offset that is still there and the next one, of each partition."""
        ask = tenacity.Retrying(
            retry=tenacity.retry_if_exception(not_yet),
            stop=tenacity.stop_after_delay(_TIMEOUT_S),
            wait=tenacity.wait_fixed(0.1),
            reraise=True,
        )
        try:
            return {n: ask(self._consumer.get_watermark_offsets, self._part(n), timeout=_TIMEOUT_S) for n in numbers}
        except KafkaException as error:
            raise self._away(error) from error

    def _offsets(self, numbers: list[int], at: datetime, ends: dict[int, tuple[int, int]]) -> dict[int, int]:
        """The first offset of each partition from a time on; the log's end if there is none."""
        # Rounded up, so that a message of the same millisecond is not older than the moment.
        ms = -(-round(at.timestamp() * 1_000_000) // 1000)
        asked = [self._part(number, ms) for number in numbers]
        try:
            found = self._consumer.offsets_for_times(asked, timeout=_TIMEOUT_S)
        except KafkaException as error:
            raise self._away(error) from error
        return {one.partition: one.offset if one.offset >= 0 else ends[one.partition][1] for one in found}

    def _check_complete(self, start: datetime, lows: dict[int, int]) -> None:
        """See whether the log of partitions that have lost their beginning reaches back far enough."""
        if not lows:
            return
        firsts = [OffsetRange(number, low, low, low + 1) for number, low in lows.items()]
        oldest = [codec.from_micros(one.timestamp_ms * 1000) for one in self.messages(firsts)]
        if late := [at for at in oldest if at > start + timedelta(milliseconds=1)]:
            raise LogTruncated(
                f"{self.name} no longer holds all since {start:%Y-%m-%dT%H:%M:%SZ}: the oldest time from which it is "
                f"complete is {max(late):%Y-%m-%dT%H:%M:%S.%fZ}. Give that, or `--from oldest` for all that is left"
            )

    def _away(self, error: KafkaException) -> KafkaUnavailable:
        return KafkaUnavailable(f"{self.name} cannot be read: {error.args[0].str()}")

    def _part(self, number: int, offset: int = OFFSET_INVALID) -> confluent_kafka.TopicPartition:
        return to_confluent(TopicPartition(self.name, number), offset)


def newest_first(ranges: Sequence[OffsetRange], step: int) -> Iterator[list[OffsetRange]]:
    """These ranges in pieces, the last one first: so many offsets of each partition, and each time twice as many.

    So whoever looks for the last of something reads little more than what lies behind it.
    """
    left = {one.partition: (one.first_offset, one.end_offset) for one in ranges if one.first_offset < one.end_offset}
    while left:
        starts = {number: max(first, end - step) for number, (first, end) in left.items()}
        yield [OffsetRange(number, starts[number], starts[number], end) for number, (_, end) in left.items()]
        left = {number: (first, starts[number]) for number, (first, _) in left.items() if first < starts[number]}
        step = min(2 * step, _MOST_AT_ONCE)


def read_topic(settings: Settings, topic: Topic | str, partitions: Collection[int] | None = None) -> Iterator[Message]:
    """Every message that the topic, or these of its partitions, hold now; in order within a partition.

    Args:
        settings: of the cluster.
        topic: which one; a text is a whole name, of a changelog.
        partitions: their numbers; None: all.

    Raises:
        KafkaUnavailable, TopicMissing: see :class:`LogReader`.
    """
    with LogReader(settings, topic) as log:
        while True:
            try:
                log.open([one for one in log.since({}) if partitions is None or one.partition in partitions])
                break
            except LogTruncated:  # The brokers removed the oldest messages since: the topic does not hold them now.
                continue
        while not log.at_end:
            yield from log.read(0.1)


def read_events(
    settings: Settings, topic: Topic, event_type: type[E], partitions: Collection[int] | None = None
) -> Iterator[tuple[Message, E]]:
    """Every event of a type that the topic holds now, and its message; messages that are no such event are left out.

    Raises:
        KafkaUnavailable, TopicMissing: see :func:`read_topic`.
    """
    for message in read_topic(settings, topic, partitions):
        try:
            event = codec.decode(message.value, event_type)
        except CodecError:
            continue
        yield message, event
