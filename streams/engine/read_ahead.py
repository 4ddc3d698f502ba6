"""Reads partitions of which a worker is far behind, faster than Faust gives their messages one by one.

A message waits until everything on its partition number that is older was read, since some of it may be of the same
user. So whoever has few messages is held up by the reading of somebody else's bulk, and that is what this makes short:
librdkafka reads in a thread of its own, for a quarter of the processor time that aiokafka alone takes. Faust's consumer
keeps the partition assigned and does not fetch it meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import confluent_kafka
import faust
from confluent_kafka import KafkaError, KafkaException
from faust.types import TP

from streams.engine.gap_check import ConsumerOffsets
from streams.kafka.connection import consumer
from streams.kafka.messages import Message, TopicPartition, as_read, to_confluent
from streams.settings import Settings

log = logging.getLogger(__name__)

_FAR_BEHIND = 64
"""Messages that Faust's consumer has still to give of a partition that is taken over."""
_AT_ONCE = 256
_WAIT_S = 0.1


@dataclass(slots=True)
class _Read:
    """What came, the offsets at which partitions were read to their end, and which cannot be read on here."""

    messages: list[Message] = field(default_factory=list)
    ended: dict[TopicPartition, int] = field(default_factory=dict)
    failed: set[TopicPartition] = field(default_factory=set)


class ReadAhead:
    """The partitions that were taken over from Faust's consumer of one application; for its event loop."""

    def __init__(self, app: faust.App, settings: Settings) -> None:
        """Connects when the first partition is taken over."""
        self._app = app
        self._reader = _Reader(settings)
        self._thread = ThreadPoolExecutor(1, "read-ahead")
        self._taken: set[TopicPartition] = set()
        self._ended: dict[TopicPartition, int] = {}
        self._refused: set[TopicPartition] = set()
        self._wanted = asyncio.Event()
        self._cleared = 0

    def __contains__(self, source: TopicPartition) -> bool:
        return source in self._taken

    def look_at(self, source: TopicPartition, offset: int) -> None:
        """Faust has given a message: take the partition over behind it, if there is much more."""
        if source in self._taken or source in self._refused:
            return
        tp = TP(source.topic, source.partition)
        end = self._app.consumer.highwater(tp)
        if end is None or end - offset <= _FAR_BEHIND:
            return
        self._app.consumer.on_buffer_full(tp)
        self._taken.add(source)
        self._thread.submit(self._reader.begin, source, offset + 1)
        self._wanted.set()

    async def read(self) -> list[Message]:
        """What came of the partitions that are taken over; waits for the first of them."""
        if not self._taken:
            self._wanted.clear()
            try:
                await asyncio.wait_for(self._wanted.wait(), 1.0)
            except TimeoutError:
                return []
        cleared = self._cleared
        read = await asyncio.get_running_loop().run_in_executor(self._thread, self._reader.read)
        if cleared != self._cleared:
            return []
        messages = [message for message in read.messages if message.source in self._taken]
        for message in messages:
            self._ended.pop(message.source, None)
        self._ended.update((source, end) for source, end in read.ended.items() if source in self._taken)
        for source in read.failed & self._taken:
            log.warning("%s cannot be read ahead: Faust reads it", source)
            self._refused.add(source)
        return messages

    def position(self, source: TopicPartition) -> int | None:
        """The offset that is read next of a partition that is taken over and was read to its end."""
        return self._ended.get(source)

    def to_give_back(self, is_short: Callable[[TopicPartition], bool]) -> list[TopicPartition]:
        """Partitions that Faust can read on: they failed here, or were read to their end and few messages wait."""
        return [one for one in self._taken if one in self._refused or (one in self._ended and is_short(one))]

    async def give_back(self, source: TopicPartition, offset: int, *, read_on: bool = True) -> None:
        """Let Faust's consumer go on at an offset, unless it shall not ``read_on`` yet."""
        cleared = self._cleared
        self._forget(source)
        tp = TP(source.topic, source.partition)
        await self._app.consumer.seek(tp, offset)
        if read_on and cleared == self._cleared:
            self._app.consumer.on_buffer_drop(tp)

    def seek(self, source: TopicPartition, offset: int) -> None:
        """Read a partition that is taken over from there on."""
        self._ended.pop(source, None)
        self._thread.submit(self._reader.begin, source, offset)

    def clear(self) -> None:
        """Forget all partitions: they are assigned anew, or went elsewhere."""
        self._cleared += 1
        for source in list(self._taken):
            self._forget(source)
        self._refused.clear()

    def close(self) -> None:
        """Disconnect."""
        self._taken.clear()
        self._thread.submit(self._reader.close)
        self._thread.shutdown(wait=False)

    def _forget(self, source: TopicPartition) -> None:
        self._taken.discard(source)
        self._ended.pop(source, None)
        self._thread.submit(self._reader.end, source)


class StageOffsets:
    """Where the partitions of a stage are read, by Faust's consumer or ahead of it."""

    def __init__(self, consumer: ConsumerOffsets, ahead: ReadAhead) -> None:
        self._consumer = consumer
        self._ahead = ahead

    async def committed(self, source: TopicPartition) -> int | None:
        """The committed offset."""
        return await self._consumer.committed(source)

    async def position(self, source: TopicPartition) -> int | None:
        """The offset that is read next, or None if it is not known and more comes."""
        return self._ahead.position(source) if source in self._ahead else await self._consumer.position(source)

    async def seek(self, source: TopicPartition, offset: int) -> None:
        """Read on from there."""
        if source in self._ahead:
            self._ahead.seek(source, offset)
        else:
            await self._consumer.seek(source, offset)


class _Reader:
    """A consumer of some partitions, for one thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._consumer: confluent_kafka.Consumer | None = None
        self._sources: set[TopicPartition] = set()
        self._failed: set[TopicPartition] = set()

    def begin(self, source: TopicPartition, offset: int) -> None:
        """Read a partition from there on."""
        try:
            self._begin(source, offset)
        except KafkaException:
            log.exception("%s cannot be read ahead", source)
            self._failed.add(source)

    def _begin(self, source: TopicPartition, offset: int) -> None:
        if self._consumer is None:
            options = {
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
                "fetch.message.max.bytes": max(4 * 2**20, self._settings.max_message_bytes),
                "queued.max.messages.kbytes": 32 * 1024,
            }
            self._consumer = consumer(self._settings, f"facestream-ahead-{uuid.uuid4()}", options)
        self.end(source)
        self._consumer.incremental_assign([to_confluent(source, offset)])
        self._sources.add(source)

    def end(self, source: TopicPartition) -> None:
        """Read a partition no more."""
        if self._consumer is not None and source in self._sources:
            self._sources.discard(source)
            self._consumer.incremental_unassign([to_confluent(source)])

    def read(self) -> _Read:
        """What comes within a tenth of a second."""
        read = _Read(failed=set(self._failed))
        self._failed.clear()
        if self._consumer is None:
            return read
        for message in self._consumer.consume(_AT_ONCE, _WAIT_S):
            error, topic, partition = message.error(), message.topic(), message.partition()
            if error is None:
                read.messages.append(as_read(message))
            elif topic is None or partition is None:  # of the connection, which is made again
                continue
            elif error.code() == KafkaError._PARTITION_EOF:
                read.ended[TopicPartition(topic, partition)] = message.offset() or 0
            elif not error.retriable():
                read.failed.add(TopicPartition(topic, partition))
        return read

    def close(self) -> None:
        """Disconnect."""
        if self._consumer is not None:
            self._consumer.close()
