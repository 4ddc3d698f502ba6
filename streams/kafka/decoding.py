"""From a Kafka message to a checked event."""

from __future__ import annotations

from typing import Any, TypeVar, cast, overload

from schemas import codec
from schemas.embeddings import Embedding, Reembedding, TemplateBatch
from schemas.erasure import Erasure
from schemas.errors import CodecError
from schemas.ids import InvalidId, canonical, check_seen
from schemas.ingest import Frame, Upload
from schemas.reasons import Reason
from schemas.registry import Event
from schemas.results import Enrolment, Match
from schemas.rollout import Comparison
from streams.kafka.messages import Message

Keyed = Upload | Frame | Embedding | Reembedding | TemplateBatch | Match | Comparison | Enrolment | Erasure
K = TypeVar("K", bound=Keyed)
L = TypeVar("L", bound=Keyed)
M = TypeVar("M", bound=Keyed)
E = TypeVar("E", bound=Event)


class InvalidMessage(Exception):
    """A message that can never be processed."""

    def __init__(self, reason: Reason, error_class: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason
        self.error_class = error_class


@overload
def read(message: Message, event_type: type[K]) -> K: ...
@overload
def read(message: Message, event_type: type[K], other: type[L], third: type[M]) -> K | L | M: ...
def read(message: Message, event_type: Any, other: Any = None, third: Any = None) -> Any:
    """The event, of one of these kinds, in a message whose key is its user, in whatever spelling.

    Raises:
        InvalidMessage: it cannot be decoded, has no key or an empty one, or another user's; or it comes in with an id
            that has a character which nobody sees.
    """
    if not message.key:
        raise InvalidMessage(Reason.NO_KEY, "NoKey", "the message has no key: produce it with its user_id as the key")
    try:
        kind = codec.kind(message.value)
        event: Keyed = codec.decode(message.value, kind if kind in (other, third) and kind is not None else event_type)
    except CodecError as error:
        raise InvalidMessage(error.reason, type(error).__name__, str(error)) from error
    if canonical(message.key.decode(errors="surrogateescape")) != event.user_id:
        key = message.key[:80].decode(errors="replace")
        raise InvalidMessage(
            Reason.KEY_MISMATCH, "KeyMismatch", f"the key {key!r} is not the event's user_id {event.user_id[:80]!r}"
        )
    if isinstance(event, Upload | Frame):
        _check_names(event)
    return event


def _check_names(event: Upload | Frame) -> None:
    """Check the ids that come in; what is there already may have others, and is found and erased under them.

    Raises:
        InvalidMessage: one has a character that nobody sees.
    """
    names = {"user_id": event.user_id, "subject_id": event.subject_id}
    if isinstance(event, Frame):
        names["camera_id"] = event.camera_id
    try:
        for what, name in names.items():
            check_seen(what, name or "")
    except InvalidId as error:
        raise InvalidMessage(Reason.INVALID_ID, type(error).__name__, f"{error}, and send the event anew") from error


def decode(message: Message, event_type: type[E]) -> E:
    """The event in a message.

    Raises:
        InvalidMessage: there is none, or not with its key.
    """
    if event_type in (Match, Enrolment, Embedding):
        return cast(E, read(message, cast(type[Match | Enrolment | Embedding], event_type)))
    try:
        return codec.decode(message.value, event_type)
    except CodecError as error:
        raise InvalidMessage(error.reason, type(error).__name__, str(error)) from error
