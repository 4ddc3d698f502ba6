"""The topic ``chips``: the faces that are kept to learn from, and how those of a person are removed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from schemas import codec
from schemas.errors import CodecError
from schemas.events import Chip, Feedback, utc_now
from schemas.ids import canonical
from streams.feedback.store import read_feedback_of
from streams.kafka.log_reader import LogReader
from streams.kafka.log_tail import LogTail
from streams.kafka.messages import Message
from streams.kafka.topics import Topic
from streams.kafka.writer import RecordWriter
from streams.privacy.erasures import read_erasures_of
from streams.settings import Settings


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

    def take(self, message: Message, user_id: str | None = None, subject_id: str | None = None) -> None:
        """Take a message in, if it is of this user and subject; None: of anybody."""
        event_id = (message.key or b"").decode(errors="replace")
        chip = None if message.value is None else chip_in(message)
        if message.value is None or (chip is not None and not _is_of(chip, user_id, subject_id)):
            self.chips.pop(event_id, None)
        elif chip is None:
            self.unreadable += 1
        else:
            self.chips[event_id] = KeptChip(chip, message.source.partition, message.offset)

    def of(self, user_id: str | None, subject_id: str | None) -> list[KeptChip]:
        """Those of a user and of a subject of his; None: of all."""
        return [one for one in self.chips.values() if _is_of(one.chip, user_id, subject_id)]


class ChipsOf:
    """The chips of a user, or of one subject, that are looked for more than once; a context manager."""

    def __init__(self, settings: Settings, user_id: str, subject_id: str | None) -> None:
        """Connects when it is first asked."""
        self._settings = settings
        self._whose = user_id, subject_id
        self._kept = KeptChips()
        self._tail = LogTail(settings, Topic.CHIPS, self._kept.chips.clear)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._tail.close()

    def refresh(self) -> list[KeptChip]:
        """Those that are there now.

        Raises:
            KafkaUnavailable: no broker answers.
            TopicMissing: the topic has not been created.
        """
        for message in self._tail.more():
            self._kept.take(message, *self._whose)
        return list(self._kept.chips.values())

    def remove(self) -> list[KeptChip]:
        """Put a tombstone over each; which they were.

        Raises:
            KafkaUnavailable: no broker answers, or not all was removed.
            TopicMissing: the topic has not been created.
        """
        found = self.refresh()
        RecordWriter(self._settings, Topic.CHIPS).write_all((one.chip.event_id, None, one.partition) for one in found)
        return found


def chip_in(message: Message) -> Chip | None:
    """The chip in a message, if models may learn from it."""
    try:
        chip = codec.decode(message.value, Chip)
    except CodecError:
        return None
    return chip if chip.event_id.encode() == message.key and chip.consent.training else None


def read_kept_chips(
    settings: Settings,
    ends: Mapping[int, int] | None = None,
    user_id: str | None = None,
    subject_id: str | None = None,
) -> KeptChips:
    """Read the topic up to these offsets, by partition number; None: up to its present end.

    Of another user than this one, or another of his subjects, nothing is kept in memory; None: of all everything is.

    Raises:
        KafkaUnavailable: no broker answers.
        TopicMissing: the topic has not been created.
    """
    kept = KeptChips()
    with LogReader(settings, Topic.CHIPS) as log:
        ranges = log.up_to(ends)
        kept.ends = {one.partition: one.end_offset for one in ranges}
        for message in log.messages(ranges):
            kept.take(message, user_id, subject_id)
    return kept


@dataclass(frozen=True, slots=True)
class RemovedChips:
    """How many chips were removed, and of how many confirmed or corrected frames nothing is learned any more."""

    chips: int
    frames: int


def remove(settings: Settings, user_id: str, subject_id: str | None = None) -> RemovedChips:
    """Remove what models may learn from of a user, or of one subject; safe to repeat.

    What is still on its way to the topic is not found, and a replay of ``uploads`` keeps the faces anew, as long as
    their consent lasts. Versions that have learned from a face stay as they are.

    Raises:
        KafkaUnavailable: no broker answers, or not all was removed.
        TopicMissing: a topic has not been created.
    """
    user_id, subject_id = canonical(user_id), None if subject_id is None else canonical(subject_id)
    with ChipsOf(settings, user_id, subject_id) as chips:
        found = chips.remove()
    erased = read_erasures_of(settings, user_id, codec.from_micros(0))
    taken_back = [
        _taken_back(said)
        for said in read_feedback_of(settings, user_id, erased).last.values()
        if said.training and subject_id in (None, said.subject_id)
    ]
    RecordWriter(settings, Topic.FEEDBACK).write_all((one.user_id, codec.encode(one), None) for one in taken_back)
    return RemovedChips(len(found), len(taken_back))


def _is_of(chip: Chip, user_id: str | None, subject_id: str | None) -> bool:
    user_id, subject_id = (None if name is None else canonical(name) for name in (user_id, subject_id))
    return user_id in (None, chip.user_id) and subject_id in (None, chip.subject_id)


def _taken_back(said: Feedback) -> Feedback:
    """The same statement, from which nothing may be learned."""
    new_id = codec.stable_id(said.event_id, said.face, said.statement, said.subject_id, False, said.feedback_id)
    return replace(said, feedback_id=new_id, training=False, replaces=said.feedback_id, given_at=utc_now())
