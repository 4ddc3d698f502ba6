"""Counts the faces that may be learned from, and those that the last version did not know."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from models.training.sides import Sides
from schemas.clock import utc_now
from streams.kafka.connection import KafkaUnavailable
from streams.kafka.log_reader import LogReader
from streams.kafka.log_tail import LogTail
from streams.kafka.topics import Topic
from streams.retraining.policy import TrainableFaces
from streams.settings import Settings
from streams.training_data.chip_store import chip_in
from streams.training_data.training_set import Until


@dataclass(frozen=True, slots=True)
class NewTrainingData:
    """What was counted, and the offset up to which each topic was read."""

    counted: TrainableFaces
    until: dict[Topic, dict[int, int]]


@dataclass(frozen=True, slots=True)
class _Face:
    """A face's person, its place on the topic, and the end of the consent to learn from it."""

    person: str
    partition: int
    offset: int
    expires_at: datetime | None


class LearnableFaces:
    """The faces on ``chips``, without their pictures; each message is read once. For one thread."""

    def __init__(self, settings: Settings) -> None:
        """Connects at its first call."""
        self._faces: dict[bytes, _Face] = {}
        self._tail = LogTail(settings, Topic.CHIPS, self._faces.clear)
        self._settings = settings
        self._feedback: LogReader | None = None

    def new_data(self, known: Until) -> NewTrainingData:
        """Count the faces that may be learned from now.

        Args:
            known: the end of the last version's training set; what lies behind it is new.

        Raises:
            KafkaUnavailable: no broker answers.
            TopicMissing: a topic has not been created.
        """
        for message in self._tail.more():
            chip = chip_in(message)
            if message.value is None:
                self._faces.pop(message.key or b"", None)
            elif chip is not None:
                person = f"{chip.user_id}/{chip.subject_id}"
                place = message.source.partition, message.offset
                self._faces[chip.event_id.encode()] = _Face(person, *place, chip.consent.expires_at)
        now, ends = utc_now(), known.get(Topic.CHIPS, {})
        faces = [one for one in self._faces.values() if one.expires_at is None or one.expires_at > now]
        old = [one for one in faces if one.offset < ends.get(one.partition, 0)]
        people, known_people = ({one.person for one in some} for some in (faces, old))
        counted = TrainableFaces(
            people=len(people),
            faces=len(faces),
            new_people=len(people - known_people),
            new_faces=len(faces) - len(old),
            sides=Sides.of(one.person for one in faces),
        )
        read = {number: end for number, end in self._tail.next.items() if end}
        return NewTrainingData(counted, {Topic.CHIPS: read, Topic.FEEDBACK: self._feedback_ends()})

    def close(self) -> None:
        """Disconnect."""
        self._tail.close()
        if self._feedback is not None:
            log, self._feedback = self._feedback, None
            log.close()

    def _feedback_ends(self) -> dict[int, int]:
        """The end of each partition of ``feedback`` that holds something."""
        if self._feedback is None:
            self._feedback = LogReader(self._settings, Topic.FEEDBACK)
        try:
            return {number: end for number, (first, end) in self._feedback.bounds().items() if first < end}
        except KafkaUnavailable:
            self.close()
            raise
