"""The topic ``chips``: the faces that are kept to learn from, and how those of a person are removed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from schemas import codec
from schemas.errors import CodecError
from schemas.events import Chip, Feedback, utc_now
from streams.feedback.given import read_feedback
from streams.record_writer import RecordWriter
from streams.replay.log import Log
from streams.settings import Settings
from streams.topics import Topic


@dataclass(frozen=True, slots=True)
class KeptChip:
    """A face, and where it lies."""

    chip: Chip
    partition: int
    offset: int


@dataclass(slots=True)
class KeptChips:
    """What the topic holds.

    Attributes:
        chips: by event id; of several with one the last, none where a tombstone is the last.
        ends: the offset by partition number before which everything was read.
        unreadable: messages that are no chip that may be learned from.
    """

    chips: dict[str, KeptChip] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
    unreadable: int = 0

    def of(self, user_id: str | None, subject_id: str | None) -> list[KeptChip]:
        """Those of a user and of a subject of his; None: of all."""
        return [
            one
            for one in self.chips.values()
            if user_id in (None, one.chip.user_id) and subject_id in (None, one.chip.subject_id)
        ]


def read_kept_chips(settings: Settings, ends: Mapping[int, int] | None = None) -> KeptChips:
    """Read the topic up to these offsets, by partition number; None: up to its present end.

    Raises:
        KafkaUnavailable: no broker answers.
        TopicMissing: the topic has not been created.
    """
    kept = KeptChips()
    with Log(settings, Topic.CHIPS) as log:
        ranges = log.up_to(ends)
        kept.ends = {one.partition: one.end_offset for one in ranges}
        for message in log.messages(ranges):
            event_id = (message.key or b"").decode(errors="replace")
            if message.value is None:
                kept.chips.pop(event_id, None)
                continue
            try:
                chip = codec.decode(message.value, Chip)
            except CodecError:
                kept.unreadable += 1
                continue
            if chip.event_id == event_id and chip.consent.training:
                kept.chips[event_id] = KeptChip(chip, message.source.partition, message.offset)
            else:
                kept.unreadable += 1
    return kept


@dataclass(frozen=True, slots=True)
class Removed:
    """How many chips were removed, and of how many confirmed or corrected frames nothing is learned any more."""

    chips: int
    frames: int


def remove(settings: Settings, user_id: str, subject_id: str | None = None) -> Removed:
    """Remove what models may learn from of a user, or of one subject; safe to repeat.

    What is still on its way to the topic is not found, and a replay of ``uploads`` keeps the faces anew, as long as
    their consent lasts. Versions that have learned from a face stay as they are.

    Raises:
        KafkaUnavailable: no broker answers, or not all was removed.
        TopicMissing: a topic has not been created.
    """
    found = remove_chips(settings, user_id, subject_id)
    taken_back = [
        _taken_back(said)
        for said in read_feedback(settings).last.values()
        if said.training and said.user_id == user_id and subject_id in (None, said.subject_id)
    ]
    RecordWriter(settings, Topic.FEEDBACK).write_all((one.user_id, codec.encode(one), None) for one in taken_back)
    return Removed(len(found), len(taken_back))


def remove_chips(settings: Settings, user_id: str, subject_id: str | None = None) -> list[KeptChip]:
    """Put a tombstone over each chip of a user, or of one subject; which they were.

    Raises:
        KafkaUnavailable: no broker answers, or not all was removed.
        TopicMissing: the topic has not been created.
    """
    found = read_kept_chips(settings).of(user_id, subject_id)
    RecordWriter(settings, Topic.CHIPS).write_all((one.chip.event_id, None, one.partition) for one in found)
    return found


def _taken_back(said: Feedback) -> Feedback:
    """The same statement, from which nothing may be learned."""
    new_id = codec.stable_id(said.event_id, said.face, said.statement, said.subject_id, False, said.feedback_id)
    return replace(said, feedback_id=new_id, training=False, replaces=said.feedback_id, given_at=utc_now())
