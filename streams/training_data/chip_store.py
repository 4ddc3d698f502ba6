"""The topic ``chips``: reads the faces that are kept to learn from, and removes those of a person."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from schemas import codec
from schemas.clock import utc_now
from schemas.errors import CodecError
from schemas.ids import canonical
from schemas.learning import Chip, Feedback
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
    """A chip, and its place on the topic."""

    chip: Chip
    partition: int
    offset: int


@dataclass(slots=True)
class KeptChips:
    """The chips on the topic.

    Attributes:
        chips: the last chip of each event id, unless a tombstone is behind it.
        ends: by partition number, the offset before which everything was read.
        unreadable: messages without a chip from which models may learn.
    """

    chips: dict[str, KeptChip] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
    unreadable: int = 0

    def take(self, message: Message, user_id: str | None = None, subject_id: str | None = None) -> None:
        """Add the chip in a message, if it is of this user and subject; None: of anybody."""
        event_id = (message.key or b"").decode(errors="replace")
        chip = None if message.value is None else chip_in(message)
        if message.value is None or (chip is not None and not _is_of(chip, user_id, subject_id)):
            self.chips.pop(event_id, None)
        elif chip is None:
            self.unreadable += 1
        else:
            self.chips[event_id] = KeptChip(chip, message.source.partition, message.offset)

    def of(self, user_id: str | None, subject_id: str | None) -> list[KeptChip]:
        """The chips of a user and subject; None: of all."""
        return [one for one in self.chips.values() if _is_of(one.chip, user_id, subject_id)]


class ChipsOf:
    """Finds the chips of a user or subject again and again, reading each message once; a context manager."""

    def __init__(
        self, settings: Settings, user_id: str, subject_id: str | None, event_ids: Collection[str] = ()
    ) -> None:
        """``event_ids``: only chips of these, if there are any. Connects at the first refresh."""
        self._settings = settings
        self._event_ids = frozenset(event_ids)
        self._whose = user_id, subject_id
        self._kept = KeptChips()
        self._tail = LogTail(settings, Topic.CHIPS, self._kept.chips.clear)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._tail.close()

    def refresh(self) -> list[KeptChip]:
        """The chips that are there now.

        Raises:
            KafkaUnavailable: no broker answers.
            TopicMissing: the topic has not been created.
        """
        for message in self._tail.more():
            self._kept.take(message, *self._whose)
        found = list(self._kept.chips.values())
        return [one for one in found if one.chip.event_id in self._event_ids] if self._event_ids else found

    def remove(self) -> list[KeptChip]:
        """Put a tombstone behind each; return the chips.

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

    Only chips of this user and subject are kept in memory; None: of all users, of all subjects. A chip that was removed
    behind these offsets, because its person was erased or takes the agreement back, is left out too.

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
        if ends is not None:
            since = [one for one in log.since(kept.ends) if one.partition in kept.ends]
            for message in log.messages(since):
                if message.value is None:
                    kept.take(message)
    return kept


@dataclass(frozen=True, slots=True)
class RemovedChips:
    """The numbers of chips that were removed, and of frames whose feedback may not be learned from any more."""

    chips: int
    frames: int


def remove(settings: Settings, user_id: str, subject_id: str | None = None) -> RemovedChips:
    """Remove the chips of a user or of one subject, and withdraw their feedback from training; safe to repeat.

    A chip that is still on its way to the topic is not found, and a replay of ``uploads`` makes the chips again as long
    as their consent lasts. Versions that have learned from a face stay as they are.

    Raises:
        KafkaUnavailable: no broker answers, or not all was removed.
        TopicMissing: a topic has not been created.
    """
    user_id, subject_id = canonical(user_id), None if subject_id is None else canonical(subject_id)
    with ChipsOf(settings, user_id, subject_id) as chips:
        found = chips.remove()
    erased = read_erasures_of(settings, user_id, codec.from_micros(0))
    withdrawn = [
        _without_training(feedback)
        for feedback in read_feedback_of(settings, user_id, erased).last.values()
        if feedback.training and subject_id in (None, feedback.subject_id)
    ]
    RecordWriter(settings, Topic.FEEDBACK).write_all((one.user_id, codec.encode(one), None) for one in withdrawn)
    return RemovedChips(len(found), len(withdrawn))


def _is_of(chip: Chip, user_id: str | None, subject_id: str | None) -> bool:
    user_id, subject_id = (None if name is None else canonical(name) for name in (user_id, subject_id))
    return user_id in (None, chip.user_id) and subject_id in (None, chip.subject_id)


def _without_training(one: Feedback) -> Feedback:
    """The same statement, from which nothing may be learned."""
    new_id = codec.stable_id(one.event_id, one.face, one.statement, one.subject_id, False, one.feedback_id)
    return replace(one, feedback_id=new_id, training=False, replaces=one.feedback_id, given_at=utc_now())
