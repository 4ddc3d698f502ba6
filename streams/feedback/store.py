"""The topic ``feedback``: what was said of each face, and how it gets there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from schemas import codec
from schemas.errors import CodecError
from schemas.events import Feedback
from schemas.ids import canonical, spellings
from streams.kafka.log_reader import LogReader
from streams.kafka.messages import Message
from streams.kafka.topics import Topic
from streams.kafka.writer import RecordWriter
from streams.privacy.erasures import Erasures, named, read_erasures
from streams.settings import Settings

_FLUSH_S = 20.0


@dataclass(slots=True)
class StoredFeedback:
    """What the topic held.

    Attributes:
        last: what was said last of each face, by event id and the face's number.
        ends: the offset by partition number before which everything was read.
        unreadable: messages that are no feedback.
    """

    last: dict[tuple[str, int], Feedback] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
    unreadable: int = 0


def read_feedback(settings: Settings, ends: Mapping[int, int] | None = None) -> StoredFeedback:
    """Read the topic up to these offsets, by partition number; None: up to its present end.

    What was said of somebody before he was erased is not there any more.

    Raises:
        KafkaUnavailable: no broker answers.
        TopicMissing: a topic has not been created.
    """
    given = StoredFeedback()
    erased = read_erasures(settings)
    with LogReader(settings, Topic.FEEDBACK) as log:
        ranges = log.up_to(ends)
        given.ends = {one.partition: one.end_offset for one in ranges}
        for message in log.messages(ranges):
            _take(given, message, erased)
    return given


def read_feedback_of(
    settings: Settings, user_id: str, erased: Erasures, since: datetime | None = None
) -> StoredFeedback:
    """What was said of one user's faces from a time on; ``erased`` is what has been erased of him since.

    Without a time all partitions are read: what was said of him may once have had another key.

    Raises:
        KafkaUnavailable: no broker answers.
        TopicMissing: the topic has not been created.
    """
    given = StoredFeedback()
    with LogReader(settings, Topic.FEEDBACK) as log:
        keys = {log.partition_of(name) for name in spellings(user_id)}
        ranges = log.since({}) if since is None else log.from_time(since, keys)
        for message in log.messages(ranges):
            _take(given, message, erased, user_id)
    return given


def _take(given: StoredFeedback, message: Message, erased: Erasures, user_id: str | None = None) -> None:
    """Take a message in, if it is of this user; None: of anybody."""
    try:
        said = codec.decode(message.value, Feedback)
    except CodecError:
        given.unreadable += 1
        return
    if user_id not in (None, said.user_id) or erased.covers(message.timestamp_ms, said.user_id, named(said)):
        return
    if said.user_id == canonical((message.key or b"").decode(errors="replace")):
        given.last[said.event_id, said.face] = said
    else:
        given.unreadable += 1


def send(settings: Settings, said: Feedback) -> None:
    """Put it on the topic, keyed by its user.

    Raises:
        KafkaUnavailable: it was not taken in time; sent again it is the same.
    """
    RecordWriter(settings, Topic.FEEDBACK).write(said.user_id, codec.encode(said))
