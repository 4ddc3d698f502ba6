"""Every error that an application can meet; ``except FacestreamError`` catches them all.

Only what Python itself says stays as it is: ``OSError`` of a file that cannot be read, ``TypeError`` of a wrong call.
"""

from __future__ import annotations

from schemas.dead_letters import DeadLetter
from schemas.errors import CodecError, FacestreamError
from schemas.ids import InvalidId
from schemas.reasons import Reason
from sinks.redis.errors import ResultsUnavailable
from streams.kafka.connection import KafkaUnavailable
from streams.kafka.topics import PartitionsDiffer, TopicMissing, TopicsError

__all__ = [
    "AccessDenied",
    "AnswerTimeout",
    "BackPressure",
    "ClientClosed",
    "CodecError",
    "DeadLettered",
    "DeliveryFailed",
    "DeliveryTimeout",
    "FacestreamError",
    "GatewayError",
    "InvalidEvent",
    "InvalidId",
    "InvalidPicture",
    "InvalidSettings",
    "KafkaUnavailable",
    "MissingExtra",
    "NotAPicture",
    "PartitionsDiffer",
    "ResultsUnavailable",
    "TopicMissing",
    "TopicsError",
]


class InvalidEvent(FacestreamError, ValueError):
    """An argument is missing or out of its range; nothing was sent."""


class InvalidPicture(InvalidEvent):
    """A picture that no worker would take; nothing was sent."""

    def __init__(self, reason: Reason, message: str) -> None:
        """Keep the reason for programs beside the message for people."""
        super().__init__(message)
        self.reason = reason


class NotAPicture(InvalidEvent, TypeError):
    """A value of a type that cannot be a picture, such as an array; nothing was sent. It is a ``TypeError`` too."""


class InvalidSettings(FacestreamError, ValueError):
    """An environment variable has a value that cannot be used; the message names it."""


class MissingExtra(FacestreamError, ImportError):
    """A package is missing that comes with an extra of the distribution; the message says which."""


class ClientClosed(FacestreamError, RuntimeError):
    """The client or producer was closed: make a new one."""


class BackPressure(FacestreamError):
    """The event was not accepted in time, because earlier ones are still under way; nothing was sent."""


class DeliveryFailed(FacestreamError):
    """Kafka does not have the event, or has not said so in time. Sending it again with the same event id is safe."""

    def __init__(self, message: str, event_ids: list[str]) -> None:
        """Keep the ids of the events beside the message."""
        super().__init__(message)
        self.event_ids = event_ids


class DeliveryTimeout(FacestreamError, TimeoutError):
    """There is no delivery report yet. The event is still under way."""


class AnswerTimeout(FacestreamError, TimeoutError):
    """No answer has come in time. It may still come: ``answer(event_id)`` waits for it again."""

    def __init__(self, message: str, event_id: str) -> None:
        """Keep the event's id beside the message."""
        super().__init__(message)
        self.event_id = event_id


class AccessDenied(FacestreamError):
    """The gateway does not know the key, or the key does not allow this."""


class GatewayError(FacestreamError):
    """The gateway cannot be reached, or has answered with a problem that has no error of its own."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        """Keep the HTTP status (0 without an answer) and the problem's reason beside the message."""
        super().__init__(message)
        self.status = status
        self.reason = reason


class DeadLettered(FacestreamError):
    """The event could not be processed. It is in ``dead-letters``, and is answered only if an operator redrives it."""

    def __init__(self, event_id: str, letter: DeadLetter) -> None:
        """Keep the event's id, the reason for programs, and the dead-letter record."""
        super().__init__(
            f"{letter.stage} could not process the event {event_id}: {letter.reason}, {letter.message} "
            f"(dead letter {letter.letter_id})"
        )
        self.event_id = event_id
        self.reason = letter.reason
        self.letter = letter
