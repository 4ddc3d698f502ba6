"""The topic ``feedback``: reads the last feedback on each face, and writes new feedback."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from schemas import codec
from schemas.errors import CodecError
from schemas.ids import canonical, spellings
from schemas.learning import Feedback
from streams.kafka.log_reader import LogReader
from streams.kafka.messages import Message
from streams.kafka.topics import Topic
from streams.kafka.writer import RecordWriter
from streams.privacy.erasures import Erasures, named, read_erasures
from streams.settings import Settings

_FLUSH_S = 20.0


@dataclass(slots=True)
class StoredFeedback:
    """What was read from the topic.

    Attributes:
        last: the last feedback on each face, by event id and the face's number.
        ends: by partition number, the offset before which everything was read.
        unreadable: messages that are no feedback.
    """

    last: dict[tuple[str, int], Feedback] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
    unreadable: int = 0


def read_feedback(settings: Settings, ends: Mapping[int, int] | None = None) -> StoredFeedback:
    """Read the topic up to these offsets, by partition number; None: up to its present end.

    Feedback about somebody from before his erasure is left out.

    Raises:
        KafkaUnavailable: no broker answers.
        TopicMissing: a topic has not been created.
    """
    stored = StoredFeedback()
    erased = read_erasures(settings)
    with LogReader(settings, Topic.FEEDBACK) as log:
        ranges = log.up_to(ends)
        stored.ends = {one.partition: one.end_offset for one in ranges}
        for message in log.messages(ranges):
            _take(stored, message, erased)
    return stored


def read_feedback_of(
    settings: Settings, user_id: str, erased: Erasures, since: datetime | None = None
) -> StoredFeedback:
    """The feedback on one user's faces from a time on; ``erased`` are the user's erasures since then.

    Without a time all partitions are read, since older feedback may have another key.

    Raises:
        KafkaUnavailable: no broker answers.
        TopicMissing: the topic has not been created.
    """
    stored = StoredFeedback()
    with LogReader(settings, Topic.FEEDBACK) as log:
        keys = {log.partition_of(name) for name in spellings(user_id)}
        ranges = log.since({}) if since is None else log.from_time(since, keys)
        for message in log.messages(ranges):
            _take(stored, message, erased, user_id)
    return stored


def _take(stored: StoredFeedback, message: Message, erased: Erasures, user_id: str | None = None) -> None:
    """Add the feedback in a message, if it is of this user; None: of any user."""
    try:
        feedback = codec.decode(message.value, Feedback)
    except CodecError:
        stored.unreadable += 1
        return
    if user_id not in (None, feedback.user_id):
        return
    if erased.covers(message.timestamp_ms, feedback.user_id, named(feedback)):
        return
    if feedback.user_id == canonical((message.key or b"").decode(errors="replace")):
        stored.last[feedback.event_id, feedback.face] = feedback
    else:
        stored.unreadable += 1


def send(settings: Settings, feedback: Feedback) -> None:
    """Put feedback on the topic, keyed by its user.

    Raises:
        KafkaUnavailable: it was not taken in time; sending it again has the same effect.
    """
    RecordWriter(settings, Topic.FEEDBACK).write(feedback.user_id, codec.encode(feedback))
