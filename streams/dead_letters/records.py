"""Messages that cannot be processed, and why: the topic ``dead-letters``."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace

from schemas import codec
from schemas.clock import utc_now
from schemas.dead_letters import DeadLetter, Header
from schemas.reasons import Reason
from streams.kafka.decoding import InvalidMessage
from streams.kafka.messages import Message
from streams.observability import logs, metrics

log = logging.getLogger(__name__)

_TEXT = 2_000
"""Characters: what is wrong with a message may have the message in it."""
_KEY_BYTES = 1_000
_OVERHEAD_BYTES = 1_024
"""Of a message, besides key and value."""


def dead_letter(message: Message, stage: str, error: Exception, attempt: int = 1) -> DeadLetter:
    """The letter for a message that a stage gives up; the same message and stage make the same ``letter_id``.

    Its time is part of that: a topic that was created again gives the same places to other messages.
    """
    bad = (
        error if isinstance(error, InvalidMessage) else InvalidMessage(Reason.FAILED, type(error).__name__, str(error))
    )
    source = message.source
    return DeadLetter(
        letter_id=codec.stable_id(source.topic, source.partition, message.offset, message.timestamp_ms, stage),
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


def tell(letters: Iterable[DeadLetter]) -> None:
    """Count and log letters that have been sent."""
    for one in letters:
        metrics.DEAD_LETTERS.labels(one.stage, one.reason).inc()
        log.warning(
            "offset %d of %s %d is dead letter %s: %s (%s)",
            *(one.offset, one.topic, one.partition, one.letter_id, one.reason, one.error_class),
            extra=logs.about_message(one.key, one.value),
        )


def encoded(letter: DeadLetter, limit: int) -> tuple[bytes | None, bytes]:
    """Key and value of a letter, as the topic of dead letters takes them.

    What is too large with the message in it, as one that came compressed, is told of without it.

    Args:
        letter: to be sent.
        limit: bytes that the topic allows.
    """
    value = codec.encode(letter)
    if len(value) + len(letter.key or b"") + _OVERHEAD_BYTES > limit:
        size = len(letter.value or b"")
        key = None if letter.key is None or len(letter.key) > _KEY_BYTES else letter.key
        text = f"{letter.message} ({size} bytes are left out: they are too many for a dead letter)"
        letter = replace(letter, key=key, value=None, headers=[], message=text)
        value = codec.encode(letter)
    return letter.key, value
