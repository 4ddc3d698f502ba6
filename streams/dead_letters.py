"""Messages that cannot be processed, and why: the topic ``dead-letters``."""

from __future__ import annotations

from dataclasses import replace

from schemas import codec
from schemas.events import DeadLetter, Header, utc_now
from schemas.reasons import Reason
from streams.inbox import BadMessage
from streams.order import Message

_TEXT = 2_000
"""Characters: what is wrong with a message may have the message in it."""
_KEY_BYTES = 1_000


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
        message=str(bad)[:_TEXT],
        attempt=attempt,
        failed_at=utc_now(),
    )


def without_value(letter: DeadLetter) -> DeadLetter:
    """The letter as any topic takes it: for a message that is too large for one, as when it came compressed."""
    size = len(letter.value or b"")
    key = None if letter.key is None or len(letter.key) > _KEY_BYTES else letter.key
    text = f"{letter.message} ({size} bytes are left out: they are too many for a dead letter)"
    return replace(letter, key=key, value=None, headers=[], message=text)
