"""What a stage sends, through Faust's producer, and when it counts as delivered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass

import aiokafka
import faust
from aiokafka.errors import KafkaConnectionError

from schemas.dead_letters import DeadLetter
from streams import traces
from streams.dead_letters.records import dead_letter, encoded, tell
from streams.engine.aiokafka_internals import partition_of_key
from streams.engine.faust_internals import producer_of
from streams.kafka.messages import Message
from streams.kafka.topics import Topic
from streams.settings import Settings

Outgoing = tuple[bytes | None, bytes | None, int | None]
"""Key, value (None is a tombstone), and partition, None for the key's."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """Messages that lie one behind the other in a partition."""

    partition: int
    first_offset: int
    count: int


async def deliver(app: faust.App, topic: str, messages: Iterable[Outgoing]) -> list[Delivered]:
    """Send messages, in order within a partition; return when the broker has all of them.

    They go in batches, one partition each: a message sent by itself costs several times as much of the event loop.

    Raises:
        aiokafka.errors.KafkaError: one could not be delivered; the others may have been.
    """
    try:
        return await _deliver(producer_of(app), topic, messages)
    except OSError as error:  # of the connection; nothing else is touched here
        raise KafkaConnectionError(repr(error)) from error


async def _deliver(producer: aiokafka.AIOKafkaProducer, topic: str, messages: Iterable[Outgoing]) -> list[Delivered]:
    by_partition: dict[int, list[tuple[bytes | None, bytes | None]]] = {}
    for key, value, partition in messages:
        if partition is None:
            partition = await partition_of_key(producer, topic, key, value)
        by_partition.setdefault(partition, []).append((key, value))
    parts = [_deliver_part(producer, topic, partition, pairs) for partition, pairs in by_partition.items()]
    delivered = await asyncio.gather(*parts, return_exceptions=True)
    if failed := next((one for one in delivered if isinstance(one, BaseException)), None):
        raise failed
    return [one for part in delivered if not isinstance(part, BaseException) for one in part]


async def _deliver_part(
    producer: aiokafka.AIOKafkaProducer, topic: str, partition: int, pairs: Iterable[tuple[bytes | None, bytes | None]]
) -> list[Delivered]:
    """One batch after another: behind one that failed nothing may be on its way when it is tried again."""
    delivered = []
    for batch in _batches(producer, pairs):
        written = await (await producer.send_batch(batch, topic, partition=partition))
        delivered.append(Delivered(partition, written.offset, batch.record_count()))
    return delivered


def _batches(
    producer: aiokafka.AIOKafkaProducer, pairs: Iterable[tuple[bytes | None, bytes | None]]
) -> Iterator[aiokafka.producer.message_accumulator.BatchBuilder]:
    batch = producer.create_batch()
    for key, value in pairs:
        headers = traces.headers(value)
        if batch.append(timestamp=None, key=key, value=value, headers=headers) is None:
            yield batch
            batch = producer.create_batch()
            batch.append(timestamp=None, key=key, value=value, headers=headers)
    if batch.record_count():
        yield batch


async def send_dead_letters(app: faust.App, settings: Settings, letters: Iterable[DeadLetter]) -> None:
    """Deliver letters, each to the partition number that its message came from, so that a repeated one is found."""
    letters, limit = list(letters), Topic.DEAD_LETTERS.max_message_bytes(settings)
    messages = [(*encoded(one, limit), one.partition) for one in letters]
    await deliver(app, Topic.DEAD_LETTERS.named(settings), messages)
    tell(letters)


def rejecter(app: faust.App, settings: Settings, stage: str) -> Callable[[Message, Exception, int], Awaitable[None]]:
    """What a stage calls to give up a message that nothing foreseen explains."""

    async def reject(message: Message, error: Exception, attempt: int) -> None:
        await send_dead_letters(app, settings, [dead_letter(message, stage, error, attempt)])

    return reject
