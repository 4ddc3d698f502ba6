"""What a stage sends, through Faust's producer, and when it counts as delivered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import faust

from schemas import codec
from schemas.events import DeadLetter
from streams import metrics
from streams.dead_letters import dead_letter
from streams.order import Message
from streams.settings import Settings
from streams.topics import Topic

Outgoing = tuple[bytes | None, bytes | None, int | None]
"""Key, value (None is a tombstone), and partition, None for the key's."""


async def deliver(app: faust.App, topic: str, messages: Iterable[Outgoing]) -> None:
    """Send messages in order; return when the broker has all of them.

    Raises:
        aiokafka.errors.KafkaError: one could not be delivered; the others may have been.
    """
    sent = [await app.producer.send(topic, key, value, partition, None, None) for key, value, partition in messages]
    await asyncio.gather(*sent)


async def send_dead_letters(app: faust.App, settings: Settings, letters: Iterable[DeadLetter]) -> None:
    """Deliver letters, each to the partition number that its message came from, so that a repeated one is found."""
    letters = list(letters)
    await deliver(
        app, Topic.DEAD_LETTERS.named(settings), [(one.key, codec.encode(one), one.partition) for one in letters]
    )
    for letter in letters:
        metrics.DEAD_LETTERS.labels(letter.stage, letter.reason).inc()


def rejecter(app: faust.App, settings: Settings, stage: str) -> Callable[[Message, Exception, int], Awaitable[None]]:
    """What a stage calls to give up a message that nothing foreseen explains."""

    async def reject(message: Message, error: Exception, attempt: int) -> None:
        await send_dead_letters(app, settings, [dead_letter(message, stage, error, attempt)])

    return reject
