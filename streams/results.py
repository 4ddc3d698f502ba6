"""What is on the topics of results."""

from __future__ import annotations

from collections.abc import Mapping

from schemas import codec
from schemas.errors import CodecError
from schemas.events import Comparison, DeadLetter, Drift, Embedding, Enrolment, Feedback, Match, Resolution
from sinks.base import Result
from streams import inbox
from streams.order import Message
from streams.topics import Topic

EVENT_TYPES: Mapping[Topic, type[Result]] = {
    Topic.MATCHES: Match,
    Topic.COMPARISONS: Comparison,
    Topic.ENROLMENTS: Enrolment,
    Topic.DEAD_LETTERS: DeadLetter,
    Topic.RESOLUTIONS: Resolution,
    Topic.DRIFT: Drift,
    Topic.EMBEDDINGS: Embedding,
    Topic.FEEDBACK: Feedback,
}


def decode(message: Message, event_type: type[Result]) -> Result:
    """The result in a message.

    Raises:
        BadMessage: there is none, or not with its key.
    """
    if event_type in (Match, Enrolment, Embedding):
        return inbox.read(message, event_type)
    try:
        return codec.decode(message.value, event_type)
    except CodecError as error:
        raise inbox.BadMessage(error.reason, type(error).__name__, str(error)) from error
