"""The training set: aligned faces with the person in each, split so that no person is on both sides.

A digest identifies the contents of a set: the SHA-256 over all samples, sorted by event id, so that it does not depend
on the order in which they came.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.analysis import chips
from models.analysis.face_analysis import FaceAnalyzer
from models.evaluation.evaluation import UnusableEvaluation, bytes_of, main_face, pictures_of, why_skipped
from models.evaluation.groups import Labelling, Labels, labelled
from models.pictures.geometry import Pixels

_BATCH = 32

HELD_OUT = 0.2
"""Share of the people that a version is measured on, and not trained on."""
SIDES_SEED = 0
"""Seed of the split. It is the same in every run, so that no version is trained on people who were measured on."""


class UnusableTrainingSet(ValueError):
    """There are too few faces or people, or a chip cannot be read; the message says which."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One aligned face. Subjects of two users are two people, even if they have the same name."""

    event_id: str
    user_id: str
    subject_id: str
    chip: bytes
    """A square JPEG, in the chip geometry of the model."""
    quality: float = 1.0
    """``Quality.overall`` of the face, 0 to 1."""
    groups: Mapping[str, str] = field(default_factory=dict)
    """The labels of person and picture, see :mod:`models.evaluation.groups`; they are not used in training."""

    @property
    def person(self) -> str:
        """The person, unique over all users."""
        return f"{self.user_id}/{self.subject_id}"

    def labelled(self, labelling: Labelling) -> Sample:
        """The sample with the labels of a file added."""
        return replace(self, groups={**self.groups, **labelling.of(self.event_id, self.user_id, self.subject_id)})


@dataclass(frozen=True, slots=True)
class Correction:
    """A hard negative: an aligned face that does not show ``not_subject_id``, according to feedback.

    ``subject_id`` is the subject that it shows; None if it is unknown.
    """

    event_id: str
    user_id: str
    not_subject_id: str
    chip: bytes
    """A JPEG, as in :class:`Sample`."""
    subject_id: str | None = None

    @property
    def person(self) -> str | None:
        """The person, unique over all users."""
        return None if self.subject_id is None else f"{self.user_id}/{self.subject_id}"

    @property
    def not_person(self) -> str:
        """The person that it does not show, unique over all users."""
        return f"{self.user_id}/{self.not_subject_id}"


NOBODY = -1
"""The number that stands for an unknown person."""


@dataclass(frozen=True, slots=True)
class Corrected:
    """Corrected faces.

    Attributes:
        chips: decoded faces [m, size, size, 3].
        labels: the number of the person in each [m]; NOBODY if unknown.
        not_labels: the number of the person that each does not show [m]; NOBODY if that person is not in the set.
    """

    chips: Pixels
    labels: NDArray[np.int32]
    not_labels: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.labels)

    def only(self, rows: NDArray[np.bool_]) -> Corrected:
        """The chosen faces [m]."""
        return Corrected(self.chips[rows], self.labels[rows], self.not_labels[rows])

    def of_people(self, number: Mapping[int, int]) -> Corrected:
        """The faces of these people, and of unknown people who were mistaken for one of them, with new numbers.

        Faces of other people are left out, because those people may be on the other side of the split.
        """
        labels, not_labels = (
            np.array([number.get(label, NOBODY) for label in column.tolist()], np.int32)
            for column in (self.labels, self.not_labels)
        )
        theirs = (labels != NOBODY) | (self.labels == NOBODY) & (not_labels != NOBODY)
        return Corrected(self.chips, labels, not_labels).only(theirs)


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Decoded faces with their people.

    Attributes:
        chips: [n, size, size, 3].
        labels: the number of the person in each chip [n], from 0 to ``len(people) - 1``.
        people: the name of each person, see :attr:`Sample.person`.
        digest: see :func:`digest`.
        corrected: further faces, which were mistaken for somebody else.
        groups: the labels [n] by dimension, see :mod:`models.evaluation.groups`.
    """

    chips: Pixels
    labels: NDArray[np.int32]
    people: tuple[str, ...]
    digest: str
    corrected: Corrected
    groups: Mapping[str, Labels] = field(default_factory=dict)

    @classmethod
    def of(cls, samples: Iterable[Sample], size: int, corrections: Iterable[Correction] = ()) -> TrainingSet:
        """Decode samples. Of several with one event id the last counts, as in a compacted topic.

        Raises:
            UnusableTrainingSet: a chip is not a JPEG of this size.
        """
        kept = sorted({sample.event_id: sample for sample in samples}.values(), key=lambda sample: sample.event_id)
        hard = sorted(corrections, key=lambda one: one.event_id)
        people = sorted({sample.person for sample in kept})
        number = {person: index for index, person in enumerate(people)}
        labels = np.array([number[sample.person] for sample in kept], np.int32)
        corrected = Corrected(
            _decoded(hard, size),
            np.array([NOBODY if one.person is None else number.get(one.person, NOBODY) for one in hard], np.int32),
            np.array([number.get(one.not_person, NOBODY) for one in hard], np.int32),
        )
        meant = corrected.only((corrected.labels != NOBODY) | (corrected.not_labels != NOBODY))
        groups = labelled([sample.groups for sample in kept])
        return cls(_decoded(kept, size), labels, tuple(people), digest(kept, hard), meant, groups)

    def __len__(self) -> int:
        return len(self.labels)

    def of_people(self, chosen: Iterable[str]) -> TrainingSet:
        """The faces of these people, who are numbered from 0 again. The digest stays that of the whole set."""
        wanted = set(chosen)
        numbers = [number for number, person in enumerate(self.people) if person in wanted]
        return self.taken(np.flatnonzero(np.isin(self.labels, numbers)))

    def at_most(self, count: int) -> TrainingSet:
        """At most this number of faces; everybody's first two come before anybody's third."""
        seen: Counter[int] = Counter()
        turns = []
        for label in self.labels.tolist():
            turns.append(max(seen[label], 1))
            seen[label] += 1
        return self.taken(np.sort(np.lexsort((self.labels, np.array(turns)))[:count]))

    def taken(self, rows: NDArray[np.intp]) -> TrainingSet:
        """The faces in these rows, and their people."""
        kept = np.unique(self.labels[rows]).tolist()
        number = {old: new for new, old in enumerate(kept)}
        return TrainingSet(
            self.chips[rows],
            np.array([number[label] for label in self.labels[rows].tolist()], np.int32),
            tuple(self.people[old] for old in kept),
            self.digest,
            self.corrected.of_people(number),
            {by: names[rows] for by, names in self.groups.items()},
        )


def digest(samples: Iterable[Sample], corrections: Iterable[Correction] = ()) -> str:
    """The SHA-256 over event id, person and chip of each sample, and over the corrections."""
    whole = hashlib.sha256()

    def add(chip: bytes, *names: str) -> None:
        whole.update("\0".join((*names, hashlib.sha256(chip).hexdigest())).encode() + b"\n")

    for sample in sorted(samples, key=lambda sample: sample.event_id):
        add(sample.chip, sample.event_id, sample.user_id, sample.subject_id)
    for one in sorted(corrections, key=lambda one: one.event_id):
        add(one.chip, one.event_id, one.user_id, one.subject_id or "", "not", one.not_subject_id)
    return whole.hexdigest()


def folds(people: Sequence[str], count: int, seed: int) -> list[list[str]]:
    """Deal people into parts of about equal size, in an order that depends only on their names and the seed.

    Raises:
        UnusableTrainingSet: there are fewer than two people per part.
    """
    if len(people) < 2 * count:
        raise UnusableTrainingSet(f"{len(people)} people are too few for {count} parts of two or more")
    ordered = sorted(people, key=lambda person: _drawn(person, seed))
    return [ordered[part::count] for part in range(count)]


def split(people: Iterable[str], held_out: float, seed: int) -> tuple[list[str], list[str]]:
    """Split people into those to train on and those to test on, by a hash of the name and the seed.

    A person stays on the same side when others join, so that nobody who was tested on is trained on later.
    """
    sides: tuple[list[str], list[str]] = ([], [])
    for person in sorted(people):
        sides[_drawn(person, seed) < held_out].append(person)
    return sides


def from_folders(
    analyzer: FaceAnalyzer,
    folders: Sequence[Path],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[list[Sample], dict[str, str]]:
    """Cut the main face (see :mod:`models.evaluation.evaluation`) out of every picture in ``DIR/<person>/<picture>``.

    Returns:
        Samples, with the folder's name as the user and the person's as the subject; and the pictures that gave no
        sample, each with the reason.

    Raises:
        UnusableEvaluation: a folder has no pictures.
    """
    samples: list[Sample] = []
    skipped: dict[str, str] = {}
    pictures = [(folder, path) for folder in folders for path in _pictures(folder)]
    for start in range(0, len(pictures), _BATCH):
        part = pictures[start : start + _BATCH]
        for (folder, path), analysis in zip(part, analyzer.analyze([bytes_of(p) for _, p in part]), strict=True):
            name = path.relative_to(folder).as_posix()
            face = main_face(analysis)
            chip = None if face is None else analysis.chips[analysis.faces.index(face)]
            if face is None or chip is None:
                skipped[f"{folder.name}/{name}"] = why_skipped(analysis, face).partition(":")[0]
                continue
            event_id = f"{folder.name}/{name}"
            samples.append(Sample(event_id, folder.name, path.parent.name, chips.encode(chip), face.quality.overall))
        progress(min(start + _BATCH, len(pictures)), len(pictures))
    return samples, skipped


def enough(counted: TrainingSet, people: int, chips: int) -> None:
    """Check that a training set is large enough.

    Raises:
        UnusableTrainingSet: there are fewer people or chips than these, or nobody has two chips.
    """
    if len(counted.people) < people or len(counted) < chips:
        raise UnusableTrainingSet(
            f"{len(counted)} chips of {len(counted.people)} people are too few to train on: "
            f"at least {chips} chips of {people} people are needed"
        )
    if max(Counter(counted.labels.tolist()).values()) < 2:
        raise UnusableTrainingSet("nobody has two chips: nothing can be compared")


def _pictures(folder: Path) -> Iterator[Path]:
    found = pictures_of(folder)
    if not found:
        raise UnusableEvaluation(f"{folder} has no pictures in sub-folders: expected {folder}/<person>/<picture>")
    yield from found


def _decoded(faces: Sequence[Sample | Correction], size: int) -> Pixels:
    made = np.empty((len(faces), size, size, 3), np.uint8)
    for place, face in zip(made, faces, strict=True):
        chip = chips.decode(face.chip)
        if chip is None or chip.shape != (size, size, 3):
            raise UnusableTrainingSet(f"the chip of {face.event_id} is not a JPEG of {size}×{size} pixels")
        place[:] = chip
    return made


def _drawn(person: str, seed: int) -> float:
    """A number in [0, 1) for a person."""
    drawn = hashlib.sha256(f"{seed}\0{person}".encode()).digest()
    return int.from_bytes(drawn[:8], "big") / 2**64
