"""How well people are told apart on somebody's own pictures: ``DIR/<identity>/<picture>``.

Every picture counts. One that shows no face, or cannot be read, is in ``faces_not_found``, and each of its pairs is
scored as if infinitely far apart: missed if it was one person, rightly kept apart if it was two. In a picture of
several people the one meant is the largest, where a face near the middle counts as larger than one at the edge.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.analysis import Analysis, Analyzes
from models.comparisons import Comparisons
from models.groups import Errors, Labelling, Labels, errors, groups_of, labelled, within
from models.scores import Distances, accuracy, roc_auc, tar_at_far
from schemas.events import Face

FAR_TARGETS = ("1e-2", "1e-3", "1e-4")

_BATCH = 32
_YES = {"yes", "y", "true", "1"}
_NO = {"no", "n", "false", "0"}


class UnusableEvaluation(ValueError):
    """The folder or the list of pairs cannot be scored; the message says why."""


@dataclass(frozen=True, slots=True)
class GroupErrors:
    """The errors of one group at the threshold."""

    by: str
    group: str
    errors: Errors


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The outcome; rates are None without pairs to tell them from.

    ``skipped`` names pictures without a usable face, each with the reason.
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
    skipped: dict[str, str] = field(default_factory=dict)


def evaluate(
    analyzer: Analyzes,
    folder: Path,
    *,
    threshold: float,
    pairs_csv: Path | None = None,
    labelling: Labelling | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Score all pairs of the pictures in a folder, or those that a file lists.

    Args:
        analyzer: whose vectors are compared.
        folder: one sub-folder an identity; hidden files are left out.
        threshold: below this distance two pictures are taken for one person.
        pairs_csv: two file names and yes or no a line; names are paths within the folder, or plain if unique there. A
            first line that ends neither in yes nor no is a heading.
        labelling: of the groups to measure apart; here the folder's name is the user, the identity the subject, and
            ``DIR/<identity>/<picture>`` the event.
        progress: called with pictures done and pictures in all.

    Raises:
        UnusableEvaluation: there are no pictures, or a line of the file cannot be understood.
    """
    pictures = pictures_of(folder)
    if not pictures:
        raise UnusableEvaluation(f"{folder} has no pictures in sub-folders: expected {folder}/<identity>/<picture>")
    pairs = _listed(pairs_csv, folder, pictures) if pairs_csv else None
    used = pictures if pairs is None else [pictures[index] for index in sorted(set(pairs.first) | set(pairs.second))]
    vectors, skipped = _vectors(analyzer, used, progress)
    people = np.unique([path.parent.name for path in used], return_inverse=True)[1].astype(np.int32)
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
    return Evaluation(
        identities=len({path.parent.name for path in used}),
        images=len(used),
        faces_not_found=len(skipped),
        genuine_pairs=genuine.size,
        impostor_pairs=impostor.size,
        roc_auc=roc_auc(genuine, impostor),
        tar_at_far={far: tar_at_far(genuine, impostor, float(far)) for far in FAR_TARGETS},
        accuracy=accuracy(genuine, impostor, threshold),
        threshold=threshold,
        groups=_by_group(_labels(labelling, folder, used), distances, people, first, second, threshold),
        skipped={str(path.relative_to(folder)): reason for path, reason in skipped.items()},
    )


def pictures_of(folder: Path) -> list[Path]:
    """The pictures in ``DIR/<identity>/``, in the order of their names; hidden files are left out."""
    return sorted(path for path in folder.glob("*/*") if path.is_file() and not path.name.startswith("."))


def _vectors(
    analyzer: Analyzes, pictures: Sequence[Path], progress: Callable[[int, int], None]
) -> tuple[list[NDArray[np.float32] | None], dict[Path, str]]:
    vectors: list[NDArray[np.float32] | None] = []
    skipped: dict[Path, str] = {}
    for start in range(0, len(pictures), _BATCH):
        part = pictures[start : start + _BATCH]
        for path, analysis in zip(part, analyzer.analyze([path.read_bytes() for path in part]), strict=True):
            face = meant(analysis)
            if face is None or face.vector is None:
                skipped[path] = _why(analysis, face)
                vectors.append(None)
            else:
                vectors.append(np.frombuffer(face.vector, "<f4"))
        progress(len(vectors), len(pictures))
    return vectors, skipped


def meant(analysis: Analysis) -> Face | None:
    """The largest face, its size halved towards the corners of the picture."""

    def weight(face: Face) -> float:
        x = (face.box.x + face.box.width / 2) / analysis.width - 0.5
        y = (face.box.y + face.box.height / 2) / analysis.height - 0.5
        return face.box.width * (1 - min(1.0, math.hypot(x, y) / math.hypot(0.5, 0.5)) / 2)

    return max(analysis.faces, key=weight, default=None)


def _why(analysis: Analysis, face: Face | None) -> str:
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


def _labels(labelling: Labelling | None, folder: Path, pictures: Sequence[Path]) -> dict[str, Labels]:
    if labelling is None:
        return {}
    name = folder.resolve().name
    known = [labelling.of(f"{name}/{path.relative_to(folder).as_posix()}", name, path.parent.name) for path in pictures]
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


@dataclass(slots=True)
class _Pairs:
    """Pairs of places in the list of pictures."""

    first: list[int] = field(default_factory=list)
    second: list[int] = field(default_factory=list)
    same: list[bool] = field(default_factory=list)


def _listed(file: Path, folder: Path, pictures: Sequence[Path]) -> _Pairs:
    names: dict[str, list[int]] = {}
    for index, path in enumerate(pictures):
        for name in {path.name, path.relative_to(folder).as_posix()}:
            names.setdefault(name, []).append(index)
    pairs = _Pairs()
    for number, (one, other, answer) in _lines(file):
        for name, place in ((one, pairs.first), (other, pairs.second)):
            found = names.get(name.removeprefix("./"), [])
            if len(found) != 1:
                raise UnusableEvaluation(f"{file}, line {number}: {len(found)} pictures are called {name} in {folder}")
            place.append(found[0])
        pairs.same.append(answer in _YES)
    if not pairs.same:
        raise UnusableEvaluation(f"{file} lists no pairs")
    return pairs


def _lines(file: Path) -> Iterator[tuple[int, tuple[str, str, str]]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            for number, row in enumerate(csv.reader(lines), 1):
                cells = [cell.strip() for cell in row]
                if not any(cells):
                    continue
                answer = cells[-1].lower()
                if len(cells) == 3 and answer in _YES | _NO:
                    yield number, (cells[0], cells[1], answer)
                elif number > 1:
                    raise UnusableEvaluation(f"{file}, line {number}: expected two file names and yes or no")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnusableEvaluation(f"{file} cannot be read: {error}") from error
