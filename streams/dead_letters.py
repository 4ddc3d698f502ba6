"""Messages that cannot be processed, and why: the topic ``dead-letters``."""

from __future__ import annotations

from collections.abc import Iterable

import faust

from schemas import codec
from schemas.events import DeadLetter, Header, utc_now
from schemas.reasons import Reason
from streams.app import deliver
from streams.inbox import BadMessage
from streams.order import Message
from streams.settings import Settings
from streams.topics import Topic


def dead_letter(message: Message, stage: str, error: Exception, attempt: int = 1) -> DeadLetter:
    """The letter for a message that a stage gives up; the same message and stage make the same ``letter_id``."""
    bad = error if isinstance(error, BadMessage) else BadMessage(Reason.FAILED, type(error).__name__, str(error))
    source = message.source
    return DeadLetter(
        letter_id=codec.stable_id(source.topic, source.partition, message.offset, stage),
        stage=stage,
        topic=source.topic,
        partition=source.partition,
        offset=message.offset,
        key=message.key,
        value=message.value,
        headers=[Header(name, value) for name, value in message.headers],
        reason=bad.reason,
        error_class=bad.error_class,
        message=str(bad),
        attempt=attempt,
        failed_at=utc_now(),
    )


async def send_dead_letters(app: faust.App, settings: Settings, letters: Iterable[DeadLetter]) -> None:
    """Deliver letters, each to the partition number that its message came from, so that a repeated one is found."""
    await deliver(
        app, Topic.DEAD_LETTERS.named(settings), [(one.key, codec.encode(one), one.partition) for one in letters]
    )
