"""The enrolled templates in memory, with exact search among the templates of one user."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

SAME = 1e-4
"""Largest distance, as a share of the vector's length, between two vectors of one picture. They differ at all because
the order of sums depends on the micro-batch."""

_FEW = 64
"""Up to this number of templates per user, all distances are computed from differences."""


class MixedVersions(TypeError):
    """An attempt to compare vectors of two model versions."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors [..., dimensions] and the model version that made them; vectors of two versions are not comparable."""

    model_version: str
    vectors: Vectors


class Gallery:
    """Templates of one model version by user. Not thread-safe: one gallery belongs to one thread.

    It accepts vectors of its own version only; others raise :class:`MixedVersions`. A template takes the memory of its
    vector and about 200 bytes for its names.
    """

    def __init__(self, model_version: str, dimensions: int) -> None:
        self.model_version = model_version
        self.dimensions = dimensions
        self._users: dict[str, _UserTemplates] = {}

    def __len__(self) -> int:
        """The number of templates of all users."""
        return sum(len(own) for own in self._users.values())

    def put(self, user_id: str, subject_id: str, template_id: str, template: Embedded) -> None:
        """Add a template [dimensions], or replace the one with the same id.

        Raises:
            MixedVersions: it is of another model version.
            ValueError: the vector has another length.
        """
        vector = self._own(template)
        if vector.shape != (self.dimensions,):
            raise ValueError(f"template {template_id} has the shape {vector.shape}, not ({self.dimensions},)")
        own = self._users.get(user_id)
        if own is None:
            own = self._users[user_id] = _UserTemplates(self.dimensions)
        own.discard(template_id)
        own.append(subject_id, template_id, vector)

    def discard(self, user_id: str, template_id: str) -> bool:
        """Remove a template; return False if there is none with this id."""
        own = self._users.get(user_id)
        if own is None or not own.discard(template_id):
            return False
        if not len(own):
            del self._users[user_id]
        return True

    def has(self, user_id: str, template_id: str) -> bool:
        """Whether a user has a template with this id."""
        own = self._users.get(user_id)
        return own is not None and template_id in own

    def names(self, user_id: str) -> Set[str]:
        """The ids of a user's templates."""
        own = self._users.get(user_id)
        return own.names if own else frozenset()

    def of(self, user_id: str, subject_id: str | None) -> list[str]:
        """The ids of the templates of a user's subject; None: of all subjects."""
        own = self._users.get(user_id)
        return own.of(subject_id) if own else []

    def users(self) -> list[str]:
        """The users with at least one template."""
        return list(self._users)

    def subjects(self, user_id: str) -> list[str]:
        """The subjects of a user with at least one template."""
        own = self._users.get(user_id)
        return list(own.counts) if own else []

    def templates(self, user_id: str, subject_id: str) -> int:
        """The number of a subject's templates."""
        own = self._users.get(user_id)
        return own.counts.get(subject_id, 0) if own else 0

    def nearest(self, user_id: str, probes: Embedded, k: int) -> list[list[tuple[str, float]]]:
        """The k nearest subjects of each probe [n, dimensions], by their nearest template, nearest first.

        Distances are Euclidean. There are fewer than k if the user has fewer subjects.

        Raises:
            MixedVersions: the probes are of another model version.
        """
        vectors = self._own(probes)
        own = self._users.get(user_id)
        return own.nearest(vectors, k) if own else [[] for _ in vectors]

    def distances(self, user_id: str, subject_id: str, probes: Embedded) -> Vectors:
        """The distance [n] of each probe [n, dimensions] to the subject's nearest template; infinite without one.

        Raises:
            MixedVersions: the probes are of another model version.
        """
        vectors = self._own(probes)
        own = self._users.get(user_id)
        if own is None or subject_id not in own.counts:
            return np.full(len(vectors), np.inf, np.float32)
        return own.to_subject(subject_id, vectors)

    def same(self, user_id: str, subject_id: str, template: Embedded) -> list[str]:
        """The ids of a subject's templates that have the same vector [dimensions] as this one, so the same picture.

        Raises:
            MixedVersions: it is of another model version.
        """
        vector = self._own(template)
        own = self._users.get(user_id)
        return own.same(subject_id, vector) if own and subject_id in own.counts else []

    def copies(self, user_id: str, subject_id: str) -> list[list[str]]:
        """Groups of a subject's templates that are of the same picture, each with two ids or more."""
        own = self._users.get(user_id)
        return own.copies(subject_id) if own else []

    def nearest_other(self, user_id: str, subject_id: str, template: Embedded) -> tuple[str, float] | None:
        """The nearest subject to a template [dimensions] other than its own, with the distance; None without one.

        Raises:
            MixedVersions: it is of another model version.
        """
        vector = self._own(template)
        own = self._users.get(user_id)
        return own.nearest_other(subject_id, vector) if own else None

    def _own(self, embedded: Embedded) -> Vectors:
        if embedded.model_version != self.model_version:
            raise MixedVersions(f"vectors of {embedded.model_version} do not fit a gallery of {self.model_version}")
        return embedded.vectors


class _UserTemplates:
    """The templates of one user, as rows of a matrix that grows by half when it is full."""

    __slots__ = ("_groups", "_matrix", "_names", "_rows", "_subjects", "counts")

    def __init__(self, dimensions: int) -> None:
        self.counts: dict[str, int] = {}
        self._matrix: Vectors = np.empty((1, dimensions), np.float32)
        self._rows: dict[str, int] = {}
        self._names: list[str] = []
        self._subjects: list[str] = []
        self._groups: _Groups | None = None

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, template_id: str) -> bool:
        return template_id in self._rows

    @property
    def names(self) -> Set[str]:
        return self._rows.keys()

    def of(self, subject_id: str | None) -> list[str]:
        pairs = zip(self._names, self._subjects, strict=True)
        return [name for name, subject in pairs if subject_id in (None, subject)]

    def append(self, subject_id: str, template_id: str, vector: Vectors) -> None:
        row = len(self._names)
        if row == len(self._matrix):
            self._resize(row + max(1, row // 2))
        self._matrix[row] = vector
        self._rows[template_id] = row
        self._names.append(template_id)
        self._subjects.append(subject_id)
        self.counts[subject_id] = self.counts.get(subject_id, 0) + 1
        self._groups = None

    def discard(self, template_id: str) -> bool:
        row = self._rows.pop(template_id, None)
        if row is None:
            return False
        subject_id = self._subjects[row]
        self.counts[subject_id] -= 1
        if not self.counts[subject_id]:
            del self.counts[subject_id]
        last_name, last_subject = self._names.pop(), self._subjects.pop()
        if last_name != template_id:
            self._matrix[row] = self._matrix[len(self._names)]
            self._names[row], self._subjects[row] = last_name, last_subject
            self._rows[last_name] = row
        if len(self._names) < len(self._matrix) // 4:
            self._resize(max(1, len(self._matrix) // 2))
        self._groups = None
        return True

    def nearest(self, probes: Vectors, k: int) -> list[list[tuple[str, float]]]:
        groups = self._grouped()
        k = min(k, len(groups.subjects))
        if k < 1:
            return [[] for _ in probes]
        if len(self) <= _FEW:
            return [self._nearest_of_few(probe, groups, k) for probe in probes]
        # |t|² - 2 p·t has the same order as the distance. The distances themselves are computed from differences below,
        # because this sum loses its digits near zero.
        order = groups.norms - 2.0 * (probes @ self._matrix[: len(self)].T)
        by_subject = np.minimum.reduceat(order[:, groups.rows], groups.starts, axis=1)
        found = np.argpartition(by_subject, k - 1, axis=1)[:, :k]
        answers = []
        for probe, subjects in zip(probes, found, strict=True):
            answer = [(groups.subjects[s], self._exact(probe, groups.rows_of(s))) for s in subjects]
            answers.append(sorted(answer, key=_nearest_first))
        return answers

    def _nearest_of_few(self, probe: Vectors, groups: _Groups, k: int) -> list[tuple[str, float]]:
        """Compute all distances, which is faster than preselection for few templates."""
        distances = np.sqrt(np.minimum.reduceat(self._squares(probe, groups.rows), groups.starts)).tolist()
        answer = sorted(zip(groups.subjects, distances, strict=True), key=_nearest_first)
        return answer[:k]

    def to_subject(self, subject_id: str, probes: Vectors) -> Vectors:
        groups = self._grouped()
        rows = groups.rows_of(groups.numbers[subject_id])
        return np.array([self._exact(probe, rows) for probe in probes], np.float32)

    def same(self, subject_id: str, vector: Vectors) -> list[str]:
        rows = [row for row, subject in enumerate(self._subjects) if subject == subject_id]
        near = np.sqrt(self._squares(vector, np.array(rows, np.int64))) <= SAME * np.linalg.norm(vector)
        return [self._names[row] for row, is_same in zip(rows, near.tolist(), strict=True) if is_same]

    def copies(self, subject_id: str) -> list[list[str]]:
        left, found = self.of(subject_id), []
        while left:
            these = set(self.same(subject_id, self._matrix[self._rows[left[0]]])) | {left[0]}
            found.append([name for name in left if name in these])
            left = [name for name in left if name not in these]
        return [names for names in found if len(names) > 1]

    def nearest_other(self, subject_id: str, vector: Vectors) -> tuple[str, float] | None:
        """Does not use the rows sorted by subject, since every enrolment invalidates them."""
        own = self.counts.get(subject_id, 0)
        if own == len(self):
            return None
        matrix = self._matrix[: len(self)]
        order = np.einsum("ij,ij->i", matrix, matrix) - 2.0 * (matrix @ vector)
        found = np.argpartition(order, own)[: own + 1]
        others = [row for row in found.tolist() if self._subjects[row] != subject_id]
        distances = np.sqrt(self._squares(vector, np.array(others, np.int64))).tolist()
        distance, row = min(zip(distances, others, strict=True))
        return self._subjects[row], distance

    def _exact(self, probe: Vectors, rows: NDArray[np.int64]) -> float:
        return float(np.sqrt(self._squares(probe, rows).min()))

    def _squares(self, probe: Vectors, rows: NDArray[np.int64]) -> Vectors:
        gaps = self._matrix[rows] - probe
        return np.asarray(np.einsum("ij,ij->i", gaps, gaps), np.float32)

    def _grouped(self) -> _Groups:
        """The rows sorted by subject, kept until the next change."""
        if self._groups is None:
            self._groups = _Groups(self._subjects, self._matrix[: len(self)])
        return self._groups

    def _resize(self, rows: int) -> None:
        matrix = np.empty((rows, self._matrix.shape[1]), np.float32)
        matrix[: len(self)] = self._matrix[: len(self)]
        self._matrix = matrix


class _Groups:
    """The rows of each subject, and the squared norm of each row."""

    __slots__ = ("norms", "numbers", "rows", "starts", "subjects")

    def __init__(self, subjects: list[str], matrix: Vectors) -> None:
        self.numbers: dict[str, int] = {}
        of_row = np.array([self.numbers.setdefault(subject, len(self.numbers)) for subject in subjects], np.int64)
        self.subjects = list(self.numbers)
        self.rows = np.argsort(of_row, kind="stable")
        self.starts = np.searchsorted(of_row[self.rows], np.arange(len(self.numbers)))
        self.norms = np.einsum("ij,ij->i", matrix, matrix)

    def rows_of(self, subject: int) -> NDArray[np.int64]:
        end = self.starts[subject + 1] if subject + 1 < len(self.starts) else None
        return self.rows[self.starts[subject] : end]


def _nearest_first(candidate: tuple[str, float]) -> tuple[float, str]:
    subject, distance = candidate
    return distance, subject
