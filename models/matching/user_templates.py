"""The templates of one user: what can be asked of them, and how few of them are kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from models.matching import template_ids
from models.matching.packed_names import pack, unpack
from models.matching.template_ids import ID_BYTES

Vectors = NDArray[np.float32]

SAME = 1e-4
"""Largest distance, as a share of the vector's length, between two vectors of one picture. They differ at all because
the order of sums depends on the micro-batch."""

FEW = 64
"""Most templates that :class:`FewTemplates` keeps; up to this number, looking at all is faster than an index."""


class UserTemplates(ABC):
    """Templates of one user in numbered rows. A removed row is taken by the last one, so there are no gaps."""

    __slots__ = ("_digested",)

    def __init__(self) -> None:
        self._digested: dict[bytes, str] | None = None
        """The ids that are packed as digests, by digest; None: there is none."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def _row_of(self, raw_id: bytes) -> int | None: ...

    @abstractmethod
    def _rows_of(self, subject_id: str) -> list[int]: ...

    @abstractmethod
    def _id_at(self, row: int) -> bytes: ...

    @abstractmethod
    def _vectors_at(self, rows: Sequence[int] | NDArray[np.intp]) -> Vectors: ...

    @abstractmethod
    def _extend(self, subject_ids: Sequence[str], raw_ids: Sequence[bytes], vectors: Vectors) -> None: ...

    @abstractmethod
    def _remove(self, row: int) -> None: ...

    @abstractmethod
    def subjects(self) -> list[str]:
        """The subjects with at least one template."""

    @abstractmethod
    def nearest(self, probes: Vectors, k: int) -> list[list[tuple[str, float]]]:
        """The k nearest subjects of each probe, by their nearest template, with their distances.

        They are in the order of distance and, where that is the same, of name.
        """

    def __contains__(self, template_id: str) -> bool:
        return self._row_of(template_ids.packed(template_id)) is not None

    def ids(self) -> Iterator[str]:
        """The ids of all templates."""
        return (self._unpacked(self._id_at(row)) for row in range(len(self)))

    def of(self, subject_id: str) -> list[str]:
        """The ids of a subject's templates."""
        return [self._unpacked(self._id_at(row)) for row in self._rows_of(subject_id)]

    def count(self, subject_id: str) -> int:
        """The number of a subject's templates."""
        return len(self._rows_of(subject_id))

    def put(self, subject_id: str, template_id: str, vector: Vectors) -> bool:
        """Add a template, or replace the one with the same id; return whether it is a new one."""
        row = self._row_of(template_ids.packed(template_id))
        if row is not None:
            self._remove(row)
        self.extend([(subject_id, template_id)], vector[np.newaxis])
        return row is None

    def extend(self, names: Sequence[tuple[str, str]], vectors: Vectors) -> None:
        """Add templates [n, dimensions] that are not there, given the subject and the id of each."""
        if not names:
            return
        raw_ids, digested = template_ids.packed_all([template_id for _, template_id in names])
        self._extend([subject_id for subject_id, _ in names], raw_ids, vectors)
        for at in digested:
            self._digested = self._digested or {}
            self._digested[raw_ids[at]] = names[at][1]

    def discard(self, template_id: str) -> bool:
        """Remove a template; return False if there is none with this id."""
        raw_id = template_ids.packed(template_id)
        row = self._row_of(raw_id)
        if row is None:
            return False
        self._remove(row)
        if self._digested is not None and self._digested.pop(raw_id, None) is not None and not self._digested:
            self._digested = None
        return True

    def to_subject(self, subject_id: str, probes: Vectors) -> Vectors:
        """The distance of each probe to a subject's nearest template; infinite without one."""
        templates = self._vectors_at(self._rows_of(subject_id))
        return np.array([distances(templates, probe).min(initial=np.inf) for probe in probes], np.float32)

    def same(self, subject_id: str, vector: Vectors) -> list[str]:
        """The ids of a subject's templates with this vector."""
        rows = self._rows_of(subject_id)
        near = distances(self._vectors_at(rows), vector) <= SAME * np.linalg.norm(vector)
        return [self._unpacked(self._id_at(row)) for row, is_same in zip(rows, near.tolist(), strict=True) if is_same]

    def copies(self, subject_id: str) -> list[list[str]]:
        """Groups of a subject's templates with the same vector, each with two ids or more."""
        left, found = self.of(subject_id), []
        while left:
            [vector] = self._vectors_at([self._row(left[0])])
            these = {*self.same(subject_id, vector), left[0]}
            found.append([name for name in left if name in these])
            left = [name for name in left if name not in these]
        return [names for names in found if len(names) > 1]

    def nearest_other(self, subject_id: str, vector: Vectors) -> tuple[str, float] | None:
        """The nearest subject to a vector other than this one, with its distance."""
        [found] = self.nearest(vector[np.newaxis], 2)
        return next((one for one in found if one[0] != subject_id), None)

    def _row(self, template_id: str) -> int:
        row = self._row_of(template_ids.packed(template_id))
        assert row is not None, f"template {template_id} is there"
        return row

    def _unpacked(self, raw_id: bytes) -> str:
        known = self._digested.get(raw_id) if self._digested is not None else None
        return template_ids.unpacked(raw_id) if known is None else known


class FewTemplates(UserTemplates):
    """Up to :data:`FEW` templates, with as few Python objects as possible: most galleries are that small."""

    __slots__ = ("_ids", "_names", "_numbers", "_vectors")

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self._vectors: Vectors = np.empty((0, dimensions), np.float32)
        self._ids = b""
        self._numbers = b""
        """Of each row, the place of its subject in the names."""
        self._names: bytes | None = None

    def __len__(self) -> int:
        return len(self._numbers)

    def subjects(self) -> list[str]:
        """See the base class; in no order."""
        return [] if self._names is None else unpack(self._names)

    def nearest(self, probes: Vectors, k: int) -> list[list[tuple[str, float]]]:
        """See the base class."""
        subjects = self.subjects()
        found = []
        for probe in probes:
            nearest = [np.inf] * len(subjects)
            for number, distance in zip(self._numbers, distances(self._vectors, probe).tolist(), strict=True):
                nearest[number] = min(nearest[number], distance)
            found.append(nearest_first(zip(subjects, nearest, strict=True), k))
        return found

    def all(self) -> tuple[list[tuple[str, str]], Vectors]:
        """Subject and id of each template, and their vectors."""
        subjects = self.subjects()
        return [(subjects[number], name) for number, name in zip(self._numbers, self.ids(), strict=True)], self._vectors

    def _row_of(self, raw_id: bytes) -> int | None:
        at = self._ids.find(raw_id)
        while at % ID_BYTES and at >= 0:
            at = self._ids.find(raw_id, at + 1)
        return None if at < 0 else at // ID_BYTES

    def _rows_of(self, subject_id: str) -> list[int]:
        subjects = self.subjects()
        if subject_id not in subjects:
            return []
        number = subjects.index(subject_id)
        return [row for row, one in enumerate(self._numbers) if one == number]

    def _id_at(self, row: int) -> bytes:
        return self._ids[row * ID_BYTES : (row + 1) * ID_BYTES]

    def _vectors_at(self, rows: Sequence[int] | NDArray[np.intp]) -> Vectors:
        return self._vectors[np.asarray(rows, np.intp)]

    def _extend(self, subject_ids: Sequence[str], raw_ids: Sequence[bytes], vectors: Vectors) -> None:
        subjects = self.subjects()
        places = {subject_id: place for place, subject_id in enumerate(subjects)}
        numbers = bytes([places.setdefault(subject_id, len(places)) for subject_id in subject_ids])
        if len(places) > len(subjects):
            self._names = pack(list(places))
        self._vectors = np.concatenate((self._vectors, vectors))
        self._ids += b"".join(raw_ids)
        self._numbers += numbers

    def _remove(self, row: int) -> None:
        last = len(self) - 1
        order = [last if at == row else at for at in range(last)]
        number = self._numbers[row]
        self._ids = b"".join(self._id_at(at) for at in order)
        self._vectors = self._vectors[order]
        numbers = [self._numbers[at] for at in order]
        if number not in numbers:
            subjects = self.subjects()
            del subjects[number]
            self._names = pack(subjects) if subjects else None
            numbers = [one - (one > number) for one in numbers]
        self._numbers = bytes(numbers)


def distances(templates: Vectors, probe: Vectors) -> Vectors:
    """The Euclidean distance of each template [n, dimensions] to a probe [dimensions], from differences.

    A template's distance does not depend on those beside it, to the last bit.
    """
    gaps = templates - probe
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", gaps, gaps)), np.float32)


def nearest_first(subjects: Iterable[tuple[str, float]], k: int) -> list[tuple[str, float]]:
    """The k nearest of subjects with their distances; of equal distances the first name comes first."""
    return sorted(subjects, key=lambda one: (one[1], one[0]))[:k]
