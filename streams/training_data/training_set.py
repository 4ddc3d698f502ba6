"""The training set up to fixed offsets: faces of people who agreed to it, from ``chips`` and from feedback."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from models.analysis import chips
from models.analysis.realigner import Realigner
from models.embedder.card import ChipGeometry, Source
from models.training.samples import Correction, Sample
from schemas.clock import utc_now
from streams.feedback.store import read_feedback
from streams.kafka.topics import Topic
from streams.model_registry.records import cards
from streams.settings import Settings
from streams.training_data.chip_store import read_kept_chips
from streams.training_data.confirmed_faces import ConfirmedFaces, confirmed

Until = Mapping[Topic, Mapping[int, int]]
"""The first offset that is not read, by topic and partition."""


@dataclass(slots=True)
class ChipsRead:
    """The samples on the topic ``chips``.

    Attributes:
        samples: the last chip of each event id, unless a tombstone is behind it, wherever that is. Of several copies of
            a person's face, which earlier releases kept when a photo was sent repeatedly, the first.
        ends: by partition number, the offset before which everything was read. Reading up to these offsets gives the
            same samples again, as long as no consent ends and nobody is erased.
        ended: chips that were left out because their consent has ended.
        unreadable: messages that are no chip, or in which no face is seen.
        offsets: partition and offset of each sample, by its event id.
    """

    samples: list[Sample] = field(default_factory=list)
    ends: dict[int, int] = field(default_factory=dict)
    ended: int = 0
    unreadable: int = 0
    offsets: dict[str, tuple[int, int]] = field(default_factory=dict)


def read_chips(
    settings: Settings, ends: Mapping[int, int] | None = None, geometry: ChipGeometry | None = None
) -> ChipsRead:
    """Read the topic up to these offsets, by partition number; None: up to its present end.

    Chips that were cut for a version with another geometry than this one are aligned again; None: none is.

    Raises:
        KafkaUnavailable: no broker answers.
        TopicMissing: the topic has not been created.
    """
    kept, now = read_kept_chips(settings, ends), utc_now()
    read = ChipsRead(ends=kept.ends, unreadable=kept.unreadable)
    realigned = _to_geometry(settings, geometry)
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
        jpeg = realigned(chip.jpeg, chip.model_version)
        if jpeg is None:
            read.unreadable += 1
            continue
        read.samples.append(Sample(event_id, chip.user_id, chip.subject_id, jpeg, chip.quality.overall))
        read.offsets[event_id] = one.partition, one.offset
    return read


def _to_geometry(settings: Settings, geometry: ChipGeometry | None) -> Callable[[bytes, str], bytes | None]:
    """What makes a JPEG of this geometry of the JPEG of a chip and the version that it was cut for."""
    made_for = {version: card.chip for version, card in cards(settings).items()} if geometry else {}
    realigner = Realigner(geometry) if geometry else None

    def realigned(jpeg: bytes, version: str) -> bytes | None:
        before = made_for.get(version)
        if realigner is None or before is None or geometry is None or before.cut == geometry.cut:
            return jpeg
        pixels = chips.decode(jpeg)
        aligned = None if pixels is None else realigner.from_chip(pixels, before)
        return None if aligned is None else chips.encode(aligned)

    return realigned


@dataclass(frozen=True, slots=True)
class TrainingSetRead:
    """The training set.

    Attributes:
        samples: the faces of ``chips``, and those that feedback has confirmed.
        corrections: faces that are not those of one of these people, according to feedback.
        until: the end of each topic: the same offsets give the same samples again, as for :class:`ChipsRead`, as long
            as Kafka keeps the frames.
        ended: faces that were left out because their consent has ended.
        unreadable: messages that were passed over.
        source: the offsets for a card, by the topics' names.
        confirmed: the training data in feedback.
    """

    samples: list[Sample]
    corrections: list[Correction]
    until: dict[Topic, dict[int, int]]
    ended: int
    unreadable: int
    confirmed: ConfirmedFaces
    source: Source


def until_of(source: Source, settings: Settings) -> Until:
    """The offsets on a card, with which the same training set can be read again."""
    names = {topic.named(settings): topic for topic in (Topic.CHIPS, Topic.FEEDBACK)}
    return {names[name]: offsets for name, offsets in source.offsets.items() if name in names}


def read_training_set(settings: Settings, geometry: ChipGeometry, until: Until | None = None) -> TrainingSetRead:
    """Read the training set up to these offsets; None: everything.

    Args:
        settings: where Kafka is.
        geometry: of the chips of the model that is trained.
        until: the ends of the topics ``chips`` and ``feedback``.

    Raises:
        KafkaUnavailable: no broker answers.
        TopicMissing: a topic has not been created.
    """
    kept = read_chips(settings, None if until is None else until.get(Topic.CHIPS, {}), geometry)
    feedback = read_feedback(settings, None if until is None else until.get(Topic.FEEDBACK, {}))
    people = {one.person for one in kept.samples}
    found = confirmed(settings, feedback.last.values(), people, geometry)
    ends = {Topic.CHIPS: kept.ends, Topic.FEEDBACK: feedback.ends}
    return TrainingSetRead(
        kept.samples + found.samples,
        found.corrections,
        ends,
        kept.ended,
        kept.unreadable + feedback.unreadable,
        found,
        Source(offsets={topic.named(settings): offsets for topic, offsets in ends.items()}),
    )
