"""The answer to an event that became a dead letter, where it can be read who asked: a refusal, so that nobody waits.

Only what no later release will read differently is answered: an event with an unknown schema, or one that failed of a
defect, may still succeed when its dead letter is redriven, and an event has one answer.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

from models.embedder.registry_snapshot import ModelSelection
from schemas import codec
from schemas.clock import utc_now
from schemas.embeddings import Embedding, FrameOrigin, UploadOrigin
from schemas.errors import CodecError
from schemas.ids import canonical
from schemas.ingest import Consent, Frame, Picture, Upload
from schemas.parts import Refusal, Source, Timings
from schemas.reasons import Reason
from streams.kafka.decoding import InvalidMessage
from streams.kafka.messages import Message

_ANSWERED = (Reason.NO_KEY, Reason.KEY_MISMATCH, Reason.INVALID_ID, Reason.MALFORMED_EVENT)
_UNKNOWN = ""
"""Camera or subject of an event whose body cannot be read."""


def asked_by(message: Message, kind: type[Upload | Frame], error: InvalidMessage) -> Upload | Frame | None:
    """The event that a dead letter's message holds, as far as it can be read, without its picture.

    Args:
        message: that has become a dead letter.
        kind: of events on its topic.
        error: why.

    Returns:
        The event; None if it is not known whose it is, or what its id is, or if the message may be processed later.
    """
    if error.reason not in _ANSWERED:
        return None
    with suppress(CodecError):
        event = codec.decode(message.value, kind)
        return event if event.user_id.strip() else None
    event_id, user_id = codec.event_id(message.value), canonical((message.key or b"").decode(errors="replace"))
    if event_id is None or not user_id.strip() or codec.kind(message.value) is not kind:
        return None
    at = codec.from_micros(message.timestamp_ms * 1000)
    if kind is Upload:
        return Upload(event_id, user_id, _UNKNOWN, at, Picture(), Consent(_UNKNOWN, at))
    return Frame(event_id, user_id, _UNKNOWN, 0, at, Picture())


def refused(
    event: Upload | Frame, message: Message, error: InvalidMessage, models: ModelSelection, received_at: datetime
) -> Embedding:
    """The embedding without faces that has match answer the event with the reason of the dead letter."""
    origin: UploadOrigin | FrameOrigin
    if isinstance(event, Upload):
        origin = UploadOrigin(event.subject_id, event.created_at, event.consent)
    else:
        origin = FrameOrigin(event.camera_id, event.sequence, event.captured_at, event.mode, event.subject_id)
    return Embedding(
        event_id=event.event_id,
        user_id=event.user_id,
        origin=origin,
        source=event.source or Source(message.source.topic, message.source.partition, message.offset),
        model_version=models.answer,
        width=0,
        height=0,
        timings=Timings(
            produced_at=event.produced_at or codec.from_micros(message.timestamp_ms * 1000),
            received_at=received_at,
            embedded_at=utc_now(),
        ),
        refusal=Refusal(error.reason, str(error)),
        replay_id=event.replay_id,
        corrects=event.corrects,
    )
