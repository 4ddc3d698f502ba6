"""What cannot be read of a log: found, named, and passed over once somebody has said so.

A record batch that nobody can decode holds up its partition and no other. To pass it is a decision: ``facestream
dead-letters pass`` writes a dead letter without a value for the offsets, and behind it a resolution by which everybody
who stands there goes on.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

import confluent_kafka
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError
from confluent_kafka import OFFSET_BEGINNING
from confluent_kafka import KafkaError as BrokerError

from schemas import codec
from schemas.clock import utc_now
from schemas.dead_letters import DeadLetter, Header, Resolution, ResolutionState
from schemas.errors import CodecError
from schemas.reasons import Reason
from streams.kafka.connection import KafkaUnavailable, admin_client, consumer, metadata
from streams.kafka.messages import TopicPartition, to_confluent
from streams.kafka.record_batches import BatchFetcher, FetchedBatches
from streams.kafka.rights import not_readable
from streams.kafka.topics import Topic
from streams.kafka.writer import RecordWriter
from streams.settings import Settings

EVERY_S = 5.0
"""How often what cannot be read is looked at again: it may have been mended, or passed."""
STAGE = "ops"
PASSED = "passed"
"""Stands in a resolution for the replay, where there was none."""
UNDECODED = frozenset(
    {
        BrokerError._BAD_MSG,
        BrokerError._BAD_COMPRESSION,
        BrokerError._NOT_IMPLEMENTED,
        BrokerError._INVALID_TYPE,
        BrokerError.INVALID_MSG,
        BrokerError.INVALID_MSG_SIZE,
        BrokerError.MSG_SIZE_TOO_LARGE,
    }
)
"""What librdkafka says where it cannot decode; some of it then goes on behind, so reading must be taken back there."""
_PROBES = 2_000
_ANSWER_S = 10.0


class NothingToPass(Exception):
    """What is at an offset can be read, or there is nothing."""


class LogUnreadable(KafkaUnavailable):
    """A part of a log cannot be read, and nobody has passed it."""


@dataclass(frozen=True, slots=True)
class UnreadableBatch:
    """Offsets of a partition that cannot be read, from ``offset`` to before ``end``."""

    source: TopicPartition
    offset: int
    end: int
    problem: str

    @property
    def letter_id(self) -> str:
        """The id of the dead letter with which it is passed."""
        return codec.stable_id(self.source.topic, self.source.partition, self.offset, STAGE)

    @property
    def remedy(self) -> str:
        """The command that passes it."""
        return f"facestream dead-letters pass {self.source.topic} {self.source.partition} {self.offset}"

    @property
    def what(self) -> str:
        """What is wrong, without where."""
        last = f" to {self.end - 1}" if self.end > self.offset + 1 else ""
        return f"cannot be read at offset {self.offset}{last}: {self.problem}"

    def __str__(self) -> str:
        return f"{self.source.topic} {self.source.partition} {self.what}"


async def look(settings: Settings, source: TopicPartition, offset: int) -> UnreadableBatch | None:
    """What cannot be read at an offset; None if it can, or if there is nothing.

    Raises:
        KafkaError, OSError: no answer; ask again.
    """
    async with BatchFetcher(settings) as fetching:
        return await look_with(fetching, source, offset)


async def look_with(fetching: BatchFetcher, source: TopicPartition, offset: int) -> UnreadableBatch | None:
    """The same, for who looks at several."""
    fetched = await fetching.fetch(source, offset)
    found = _problem(fetched, offset)
    if found is None:
        return None
    first, end, problem = found
    return UnreadableBatch(source, first, await _end(fetching, source, fetched, offset, end), problem)


def look_now(settings: Settings, source: TopicPartition, offset: int) -> UnreadableBatch | None:
    """The same for a thread, whether it runs an event loop or not.

    Raises:
        KafkaUnavailable: no answer; ask again.
    """
    try:
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(lambda: asyncio.run(look(settings, source, offset))).result()
    except (KafkaError, OSError) as error:
        raise KafkaUnavailable(f"{source.topic} {source.partition} cannot be looked at: {error!r}") from error


def _problem(fetched: FetchedBatches, offset: int) -> tuple[int, int, str] | None:
    """The first offset of what cannot be read, the one behind it as its header has it, and why."""
    if fetched.error == "OffsetOutOfRangeError":
        return None
    if fetched.error is not None:
        return offset, offset, f"the broker gives {fetched.error}"
    batch = next((one for one in fetched.batches if one.end > offset or one.problem), None)
    if batch is not None:
        return None if batch.problem is None else (batch.first, batch.end, batch.problem)
    if offset < fetched.end:
        return offset, offset, f"the broker finds nothing there, though the log goes on to {fetched.end - 1}"
    return None


async def _end(fetching: BatchFetcher, source: TopicPartition, fetched: FetchedBatches, offset: int, said: int) -> int:
    """Where the log can be read again: at the end that the header gives, if a batch begins there, or at the next."""
    end = fetched.end
    if end <= offset:  # as the broker gives none with an error
        end = (await fetching.fetch(source, 0)).end
    if offset < said and any(one.first == said for one in fetched.batches):
        return said
    for candidate in ([said] if offset < said < end else []) + list(range(offset + 1, min(end, offset + _PROBES))):
        there = await fetching.fetch(source, candidate)
        if there.error is not None or not there.batches:
            continue
        batch = there.batches[0]
        if batch.first <= candidate < batch.end and (batch.problem is None or candidate == said):
            return candidate
    return max(end, offset + 1)


class PassedBatches:
    """What has been passed, as far as the resolutions were read; for one thread at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._next: dict[int, int] = {}
        self._ids: set[str] = set()

    def has(self, found: UnreadableBatch) -> bool:
        """Whether somebody has said that this is to be passed; reads what has come since it was last asked."""
        topic, number = Topic.RESOLUTIONS.named(self._settings), found.source.partition
        group = f"facestream-passes-{uuid.uuid4()}"
        with closing(consumer(self._settings, group, {"enable.partition.eof": True})) as reader:
            reader.assign([to_confluent(TopicPartition(topic, number), self._next.get(number, OFFSET_BEGINNING))])
            until = time.monotonic() + _ANSWER_S
            while time.monotonic() < until:
                message = reader.poll(1.0)
                if message is None:
                    continue
                if message.error() is not None:
                    break
                self._next[number] = (message.offset() or 0) + 1
                self._take(message.value())
        return found.letter_id in self._ids

    def _take(self, value: bytes | None) -> None:
        try:
            resolution = codec.decode(value, Resolution)
        except CodecError:
            return
        if resolution.replay_id == PASSED:
            self._ids.add(resolution.letter_id)


class ReadersUnreadable:
    """What a reader of one topic meets and cannot read: each time it is passed over, or its partition is given up.

    The other partitions are read to their end before anybody is told.
    """

    def __init__(self, settings: Settings, reader: confluent_kafka.Consumer, topic: str) -> None:
        self._settings = settings
        self._reader = reader
        self._topic = topic
        self._passes = PassedBatches(settings)
        self._next: dict[int, int] = {}
        self._found: dict[int, UnreadableBatch] = {}

    @property
    def numbers(self) -> Collection[int]:
        """The partitions that were given up."""
        return self._found.keys()

    def begin(self, starts: Mapping[int, int]) -> None:
        """Begin anew with these partitions, each from its offset on."""
        self._next = dict(starts)
        self._found.clear()

    def meets(self, message: confluent_kafka.Message) -> bool:
        """Whether a message that came is to be left out: it says that something cannot be read, or comes behind that.

        Raises:
            KafkaUnavailable: it cannot be found out what.
        """
        number, error = message.partition() or 0, message.error()
        if number in self._found:
            return True
        if error is None:
            if (message.offset() or 0) < self._next.get(number, 0):
                return True
            self._next[number] = (message.offset() or 0) + 1
            return False
        if message.topic() != self._topic or error.code() not in UNDECODED:
            return False
        at = self._next.get(number, message.offset() or 0)
        if not self._look(number, at):
            self._reader.seek(to_confluent(TopicPartition(self._topic, number), at))
        return True

    def silent(self, numbers: Collection[int]) -> bool:
        """Whether it is for what cannot be read that nothing comes of these partitions: librdkafka may say nothing.

        Raises:
            KafkaUnavailable: it cannot be found out.
        """
        known, looked = {number: self._next.get(number) for number in numbers}, {}
        for number, at in known.items():
            part = to_confluent(TopicPartition(self._topic, number))
            first, _ = self._reader.get_watermark_offsets(part, timeout=_ANSWER_S) if at is None else (at, 0)
            looked[number] = self._look(number, first)
        return any(looked.values())

    def _look(self, number: int, at: int) -> bool:
        """Whether it cannot be read there; then it has been passed, or the partition given up."""
        found = look_now(self._settings, TopicPartition(self._topic, number), at)
        if found is None:
            return False
        part = to_confluent(TopicPartition(self._topic, number), found.end)
        if self._passes.has(found):
            self._next[number] = found.end
            self._reader.seek(part)
        else:
            self._found[number] = found
            self._reader.incremental_unassign([part])
        return True

    def tell(self) -> None:
        """Say what could not be read.

        Raises:
            LogUnreadable: something could not.
            NotAllowed: an ACL is missing.
        """
        if self._found:
            first = next(iter(self._found.values()))
            if TopicAuthorizationFailedError.__name__ in first.problem:
                raise not_readable(self._settings, first.source.topic)
            raise LogUnreadable(f"{first}. Mend it, or pass it: {first.remedy}")


def pass_over(settings: Settings, source: TopicPartition, offset: int) -> UnreadableBatch:
    """Have everybody pass what cannot be read at an offset, and leave a dead letter of it. Safe to repeat.

    Raises:
        NothingToPass: it can be read, or there is nothing.
        KafkaUnavailable: no broker answers.
    """
    topic = metadata(admin_client(settings), settings).topics.get(source.topic)
    if topic is None or source.partition not in topic.partitions:
        raise NothingToPass(f"there is no {source.topic} {source.partition}: see `facestream topics list`")
    found = look_now(settings, source, offset)
    if found is None:
        raise NothingToPass(
            f"{source.topic} {source.partition} can be read at offset {offset}: there is nothing to pass"
        )
    letter = DeadLetter(
        letter_id=found.letter_id,
        stage=STAGE,
        topic=source.topic,
        partition=source.partition,
        offset=found.offset,
        key=None,
        value=None,
        headers=[Header("end_offset", str(found.end).encode())],
        reason=Reason.UNREADABLE,
        error_class="Unreadable",
        message=f"offsets {found.offset} to {found.end - 1} were passed: {found.problem}",
        attempt=1,
        failed_at=utc_now(),
    )
    resolution = Resolution(
        resolution_id=codec.stable_id(found.letter_id, PASSED, ResolutionState.SENT),
        letter_id=found.letter_id,
        replay_id=PASSED,
        state=ResolutionState.SENT,
        topic=source.topic,
        resolved_at=utc_now(),
        partition=source.partition,
        offset=found.end,
    )
    # In this order: nobody passes what no letter tells of.
    RecordWriter(settings, Topic.DEAD_LETTERS).write(found.letter_id, codec.encode(letter), source.partition)
    RecordWriter(settings, Topic.RESOLUTIONS).write(found.letter_id, codec.encode(resolution), source.partition)
    return found
