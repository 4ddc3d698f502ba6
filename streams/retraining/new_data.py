"""What there is to learn from, and what of it the last version did not know."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from schemas.events import utc_now
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
    """What was counted, and where each topic was read to."""

    counted: TrainableFaces
    until: dict[Topic, dict[int, int]]


@dataclass(frozen=True, slots=True)
class _Face:
    """Whose a face is, where it lies, and when the consent to learning from it ends."""

    person: str
    partition: int
    offset: int
    expires_at: datetime | None


class LearnableFaces:
    """The faces on ``chips``, without their pictures; of the topic only what is new is read. For one thread."""

    def __init__(self, settings: Settings) -> None:
        """Connects when it is first asked."""
        self._faces: dict[bytes, _Face] = {}
        self._tail = LogTail(settings, Topic.CHIPS, self._faces.clear)
        self._settings = settings
        self._feedback: LogReader | None = None

    def new_data(self, known: Until) -> NewTrainingData:
        """Count the faces that may be learned from now.

        Args:
            known: where the training set of the last version ended; what lies behind it is new.

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
        )
        read = {number: end for number, end in self._tail.next.items() if end}
        return NewTrainingData(counted, {Topic.CHIPS: read, Topic.FEEDBACK: self._said()})

    def close(self) -> None:
        """Disconnect."""
        self._tail.close()
        if self._feedback is not None:
            log, self._feedback = self._feedback, None
            log.close()

    def _said(self) -> dict[int, int]:
        """Where ``feedback`` ends, of partitions that hold something."""
        if self._feedback is None:
            self._feedback = LogReader(self._settings, Topic.FEEDBACK)
        try:
            return {number: end for number, (first, end) in self._feedback.bounds().items() if first < end}
        except KafkaUnavailable:
            self.close()
            raise
