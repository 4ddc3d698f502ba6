"""Evaluates a model on a user's own pictures: ``DIR/<identity>/<picture>``.

Every picture counts. A picture that shows no face or cannot be read is in ``faces_not_found``, and its pairs have an
infinite distance: wrong for a pair of one person, right for a pair of two. In a picture of several people the main face
is the largest one, where faces count as smaller towards the edge.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.analysis.face_analysis import Analysis, FaceAnalyzer
from models.evaluation.comparisons import Comparisons
from models.evaluation.discard import DiscardCurve, discard_curve
from models.evaluation.groups import Errors, Labelling, Labels, errors, groups_of, labelled, within
from models.evaluation.pairs import Pairs, UnusablePairs
from models.evaluation.pairs import read as read_pairs
from models.evaluation.scores import Distances, accuracy, roc_auc, tar_at_far
from models.pictures.folders import FoundPictures, folders_of, pictures_below
from schemas.embeddings import Face
from schemas.parts import Refusal
from schemas.reasons import Reason

FAR_TARGETS = ("1e-2", "1e-3", "1e-4")

_BATCH = 32


class UnusableEvaluation(ValueError):
    """The folder or the list of pairs cannot be evaluated; the message says why."""


@dataclass(frozen=True, slots=True)
class GroupErrors:
    """The errors of one group at the evaluation's threshold."""

    by: str
    group: str
    errors: Errors


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result; a rate is None if there are no pairs to compute it from.

    Attributes:
        skipped: pictures without a usable face, each with the reason.
        skipped_by_reason: their number, by reason.
        discard: FNMR when the pictures of the lowest ``Quality.overall`` are discarded. Pictures without a usable face
            do not count in it.
        left_out: hidden and system files and folders, which were ignored.
    """

    identities: int
    images: int
    faces_not_found: int
    genuine_pairs: int
    impostor_pairs: int
    roc_auc: float | None
    tar_at_far: dict[str, float | None]
    accuracy: float | None
    threshold: float
    groups: list[GroupErrors] = field(default_factory=list)
    discard: DiscardCurve | None = None
    skipped: dict[str, str] = field(default_factory=dict)
    skipped_by_reason: dict[str, int] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    @property
    def says_nothing(self) -> str | None:
        """Why the evaluation has no result; None if it has."""
        if self.faces_not_found == self.images:
            reasons = ", ".join(f"{count} {reason}" for reason, count in self.skipped_by_reason.items())
            return f"no face to compare in any of {self.images} pictures: {reasons}"
        if not self.genuine_pairs + self.impostor_pairs:
            return "there is only one picture, so there is no pair to compare"
        return None


def evaluate(
    analyzer: FaceAnalyzer,
    folder: Path,
    *,
    threshold: float,
    pairs_csv: Path | None = None,
    labelling: Labelling | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Score all pairs of the pictures in a folder, or the pairs that a file lists.

    Args:
        analyzer: embeds the pictures.
        folder: has one sub-folder per identity; with ``pairs_csv``, pictures may be anywhere in it.
        threshold: two pictures below this distance count as one person.
        pairs_csv: see :func:`models.evaluation.pairs.read`.
        labelling: the groups to measure separately. The folder's name is the user, the identity the subject, and
            ``DIR/<identity>/<picture>`` the event.
        progress: called with the number of pictures done, and of all pictures.

    Raises:
        UnusableEvaluation: there are no pictures, or the list of pairs is invalid.
    """
    found = found_in(folder) if pairs_csv is None else pictures_below(folder)
    pictures = found.pictures
    if not pictures:
        expected = "" if pairs_csv else f" in sub-folders: expected {folder}/<identity>/<picture>"
        raise UnusableEvaluation(f"{folder} has no pictures{expected}")
    try:
        pairs = read_pairs(pairs_csv, folder, pictures) if pairs_csv else None
    except UnusablePairs as error:
        raise UnusableEvaluation(str(error)) from error
    used = pictures if pairs is None else [pictures[index] for index in sorted(set(pairs.first) | set(pairs.second))]
    vectors, qualities, skipped = _vectors(analyzer, used, progress)
    names = _people(folder, used, [] if pairs is None else _same(pairs, pictures))
    people = np.unique(names, return_inverse=True)[1].astype(np.int32)
    if pairs is None:
        first, second = np.triu_indices(len(used), 1)
        same = people[first] == people[second]
    else:
        place = {picture: index for index, picture in enumerate(used)}
        first = np.array([place[pictures[index]] for index in pairs.first], np.int64)
        second = np.array([place[pictures[index]] for index in pairs.second], np.int64)
        same = np.array(pairs.same, bool)
    distances = _distances(vectors, first, second)
    genuine, impostor = distances[same], distances[~same]
    seen = np.isfinite(distances)
    comparable = bool(seen.any())
    reasons = Counter(reason.partition(":")[0] for reason in (*skipped.values(), *_unreadable(found).values()))
    return Evaluation(
        identities=len(set(names)),
        images=len(used),
        faces_not_found=len(skipped),
        genuine_pairs=genuine.size,
        impostor_pairs=impostor.size,
        roc_auc=roc_auc(genuine, impostor) if comparable else None,
        tar_at_far={far: tar_at_far(genuine, impostor, float(far)) if comparable else None for far in FAR_TARGETS},
        accuracy=accuracy(genuine, impostor, threshold) if comparable else None,
        threshold=threshold,
        groups=_by_group(_labels(labelling, folder, used, names), distances, people, first, second, threshold),
        discard=discard_curve(distances[seen], first[seen], second[seen], same[seen], qualities),
        skipped={str(path.relative_to(folder)): reason for path, reason in (skipped | _unreadable(found)).items()},
        skipped_by_reason=dict(reasons.most_common()),
        left_out=[str(path.relative_to(folder)) for path in found.left_out],
    )


def pictures_of(folder: Path) -> list[Path]:
    """The pictures in ``DIR/<identity>/``, sorted by path; see :mod:`models.pictures.folders`."""
    return found_in(folder).pictures


def found_in(folder: Path) -> FoundPictures:
    """Find the pictures in ``DIR/<identity>/``, and what was left out or cannot be read."""
    identities, left_out = folders_of(folder)
    found = FoundPictures(left_out=left_out)
    for identity in identities:
        found.add(pictures_below(identity, depth=1))
    return found


def bytes_of(picture: Path) -> bytes | Refusal:
    """The content of a file, or why it cannot be read."""
    try:
        return picture.read_bytes()
    except OSError as error:
        return Refusal(Reason.URI_UNREADABLE, f"{str(picture)!r} cannot be read: {error.strerror}")


def _unreadable(found: FoundPictures) -> dict[Path, str]:
    return {path: f"{Reason.URI_UNREADABLE}: {why}" for path, why in found.unreadable.items()}


def _same(pairs: Pairs, pictures: Sequence[Path]) -> list[tuple[Path, Path]]:
    listed = zip(pairs.first, pairs.second, pairs.same, strict=True)
    return [(pictures[one], pictures[other]) for one, other, same in listed if same]


def _people(folder: Path, pictures: Sequence[Path], same: Sequence[tuple[Path, Path]]) -> list[str]:
    """The identity of each picture: its sub-folder's name; pictures beside the sub-folders are grouped by the pairs."""
    head = {path: path for path in pictures if path.parent == folder}

    def first(path: Path) -> Path:
        while head[path] != path:
            head[path] = path = head[head[path]]
        return path

    for one, other in same:
        if one in head and other in head:
            head[first(one)] = first(other)
    return [first(path).name if path in head else path.parent.name for path in pictures]


def _vectors(
    analyzer: FaceAnalyzer, pictures: Sequence[Path], progress: Callable[[int, int], None]
) -> tuple[list[NDArray[np.float32] | None], NDArray[np.float64], dict[Path, str]]:
    """The vector of each picture's main face, its overall quality [n], NaN without a vector; and what was skipped."""
    vectors: list[NDArray[np.float32] | None] = []
    qualities: list[float] = []
    skipped: dict[Path, str] = {}
    for start in range(0, len(pictures), _BATCH):
        part = pictures[start : start + _BATCH]
        for path, analysis in zip(part, analyzer.analyze([bytes_of(path) for path in part]), strict=True):
            face = main_face(analysis)
            if face is None or face.vector is None:
                skipped[path] = why_skipped(analysis, face)
                vectors.append(None)
                qualities.append(math.nan)
            else:
                qualities.append(face.quality.overall)
                vectors.append(np.frombuffer(face.vector, "<f4"))
        progress(len(vectors), len(pictures))
    return vectors, np.array(qualities), skipped


def main_face(analysis: Analysis) -> Face | None:
    """The main face: the largest one, where a face in a corner of the picture counts half. None without a face."""

    def weight(face: Face) -> float:
        x = (face.box.x + face.box.width / 2) / analysis.width - 0.5
        y = (face.box.y + face.box.height / 2) / analysis.height - 0.5
        return face.box.width * (1 - min(1.0, math.hypot(x, y) / math.hypot(0.5, 0.5)) / 2)

    return max(analysis.faces, key=weight, default=None)


def why_skipped(analysis: Analysis, face: Face | None) -> str:
    """Why a picture has no usable face: the reason, and after a colon the detail if there is one."""
    if analysis.refusal is not None:
        return f"{analysis.refusal.reason}: {analysis.refusal.detail}"
    return str(face.refusal) if face is not None else "no_face"


def _distances(
    vectors: Sequence[NDArray[np.float32] | None], first: NDArray[np.int64], second: NDArray[np.int64]
) -> Distances:
    found = np.array([vector is not None for vector in vectors])
    length = next((vector.size for vector in vectors if vector is not None), 1)
    matrix = np.array([np.zeros(length) if vector is None else vector for vector in vectors], np.float64)
    distances = np.full(len(first), np.inf)
    for start in range(0, len(first), 65_536):
        part = slice(start, start + 65_536)
        distances[part] = np.linalg.norm(matrix[first[part]] - matrix[second[part]], axis=1)
    return np.where(found[first] & found[second], distances, np.inf)


def _labels(
    labelling: Labelling | None, folder: Path, pictures: Sequence[Path], people: Sequence[str]
) -> dict[str, Labels]:
    if labelling is None:
        return {}
    name = folder.resolve().name
    known = [
        labelling.of(f"{name}/{path.relative_to(folder).as_posix()}", name, person)
        for path, person in zip(pictures, people, strict=True)
    ]
    return labelled(known)


def _by_group(
    labels: dict[str, Labels],
    distances: Distances,
    people: NDArray[np.int32],
    first: NDArray[np.intp],
    second: NDArray[np.intp],
    threshold: float,
) -> list[GroupErrors]:
    measured = []
    for group in groups_of(labels):
        rows = within(labels[group.by], group.name, first, second)
        compared = Comparisons.among(distances[rows], people[first[rows]], people[second[rows]])
        found = errors(compared, threshold)
        if found is not None:
            measured.append(GroupErrors(group.by, group.name, found))
    return measured
