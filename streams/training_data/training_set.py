"""What may be learned from, up to fixed offsets: faces of people who agreed to it, on ``chips`` or judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from models.embedder.card import ChipGeometry, Source
from models.training.samples import Correction, Sample
from schemas.events import utc_now
from streams.feedback.store import read_feedback
from streams.kafka.topics import Topic
from streams.settings import Settings
from streams.training_data.chip_store import read_kept_chips
from streams.training_data.confirmed_faces import ConfirmedFaces, confirmed

Until = Mapping[Topic, Mapping[int, int]]
"""Of each partition of each topic the first offset that is not read."""


@dataclass(slots=True)
class ChipsRead:
    """What the topic held.

    Attributes:
        samples: of several with one event id the last, none where a tombstone is the last; of copies of one face of a
            person, which earlier releases have kept of a photo that came again and again, the first.
        ends: the offset by partition number before which everything was read: reading up to them gives the same
            samples again, as long as no consent ends and no tombstone is compacted away.
        ended: chips left out since their consent has ended.
        unreadable: messages that are no chip.
        offsets: partition and offset of each sample, by its event id.
    """

    samples: list[Sample] = field(default_factory=list)
    ends: dict[int, int] = field(default_factory=dict)
    ended: int = 0
    unreadable: int = 0
    offsets: dict[str, tuple[int, int]] = field(default_factory=dict)


def read_chips(settings: Settings, ends: Mapping[int, int] | None = None) -> ChipsRead:
    """Read the topic up to these offsets, by partition number; None: up to its present end.

    Raises:
        KafkaUnavailable: no broker answers.
        TopicMissing: the topic has not been created.
    """
    kept, now = read_kept_chips(settings, ends), utc_now()
    read = ChipsRead(ends=kept.ends, unreadable=kept.unreadable)
    seen: set[tuple[str, str, bytes]] = set()
    for event_id, one in kept.chips.items():
        chip = one.chip
        if chip.consent.expires_at is not None and chip.consent.expires_at <= now:
            read.ended += 1
            continue
        face = chip.user_id, chip.subject_id, sha256(chip.jpeg).digest()
        if face in seen:
            continue
        seen.add(face)
        read.samples.append(Sample(event_id, chip.user_id, chip.subject_id, chip.jpeg, chip.quality.overall))
        read.offsets[event_id] = one.partition, one.offset
    return read


@dataclass(frozen=True, slots=True)
class TrainingSetRead:
    """All that may be learned from.

    Attributes:
        samples: the faces of ``chips``, and those that somebody has confirmed.
        corrections: faces that somebody has said are not those of one of these people.
        until: where each topic was read to: the same offsets give the same samples again, see :class:`ChipsRead`, as
            long as Kafka keeps the frames.
        ended: faces left out since the consent to them has ended.
        unreadable: messages that were passed over.
        source: the offsets for a card, by the topics' names.
        confirmed: what came of the feedback.
    """

    samples: list[Sample]
    corrections: list[Correction]
    until: dict[Topic, dict[int, int]]
    ended: int
    unreadable: int
    confirmed: ConfirmedFaces
    source: Source


def until_of(source: Source, settings: Settings) -> Until:
    """The offsets on a card, to read the same again."""
    names = {topic.named(settings): topic for topic in (Topic.CHIPS, Topic.FEEDBACK)}
    return {names[name]: offsets for name, offsets in source.offsets.items() if name in names}


def read_training_set(settings: Settings, geometry: ChipGeometry, until: Until | None = None) -> TrainingSetRead:
    """Read up to these offsets; None: all that is there.

    Args:
        settings: where it is.
        geometry: of the chips of the model that is trained.
        until: of the topics ``chips`` and ``feedback``.

    Raises:
        KafkaUnavailable: no broker answers.
        TopicMissing: a topic has not been created.
    """
    chips = read_chips(settings, None if until is None else until.get(Topic.CHIPS, {}))
    given = read_feedback(settings, None if until is None else until.get(Topic.FEEDBACK, {}))
    people = {one.person for one in chips.samples}
    found = confirmed(settings, given.last.values(), people, geometry)
    ends = {Topic.CHIPS: chips.ends, Topic.FEEDBACK: given.ends}
    return TrainingSetRead(
        chips.samples + found.samples,
        found.corrections,
        ends,
        chips.ended,
        chips.unreadable + given.unreadable,
        found,
        Source(offsets={topic.named(settings): offsets for topic, offsets in ends.items()}),
    )
