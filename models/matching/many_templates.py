"""The templates of a user who has many: columns in blocks of fixed size, with indexes of the ids and the subjects."""

from __future__ import annotations

import math
import mmap
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from models.matching.bfloat16 import Floats
from models.matching.codings import Coding, Columns
from models.matching.nearest_rows import Numbers, candidates
from models.matching.packed_names import PackedNames
from models.matching.row_index import RowIndex
from models.matching.template_ids import ID_BYTES
from models.matching.user_templates import FewTemplates, UserTemplates, Vectors, distances, nearest_first

BLOCK = 16_384
"""Rows of a full block: 8 MB of 128 dimensions."""
SMALL = 512
"""Most rows of a block that is not mapped as a whole, and most rows that are ever copied at once."""

_PLAIN_PAGES = 8
"""Blocks without huge pages, of which the last one would take up megabytes for a few rows."""
_ROUNDED_UP = 1.001


class ManyTemplates(UserTemplates):
    """Any number of templates. A change costs the same however many there are; a search goes over all vectors once."""

    __slots__ = ("_blocks", "_by_id", "_by_subject", "_coding", "_dimensions", "_longest", "_subjects")

    def __init__(self, dimensions: int, coding: Coding) -> None:
        super().__init__()
        self._coding = coding
        self._dimensions = dimensions
        self._blocks: list[_Block] = []
        self._by_id = RowIndex()
        self._by_subject = RowIndex()
        self._subjects = PackedNames()
        self._longest = 0.0

    @classmethod
    def of_few(cls, few: FewTemplates, dimensions: int, coding: Coding) -> ManyTemplates:
        """The same templates."""
        many = cls(dimensions, coding)
        many.extend(*few.all())
        return many

    def to_few(self, dimensions: int) -> FewTemplates:
        """The same templates, of which there must be few; these here are of no use any more."""
        few = FewTemplates(dimensions)
        subjects = (self._subjects[self._number_at(row)] for row in range(len(self)))
        few.extend(list(zip(subjects, self.ids(), strict=True)), self._vectors_at(range(len(self))))
        for block in self._blocks:
            self._coding.forget(block.coded)
        return few

    def __len__(self) -> int:
        return (len(self._blocks) - 1) * BLOCK + self._blocks[-1].count if self._blocks else 0

    def subjects(self) -> list[str]:
        """See the base class; in no order."""
        return list(self._subjects)

    def nearest(self, probes: Vectors, k: int) -> list[list[tuple[str, float]]]:
        """See the base class."""
        k = min(k, len(self._subjects))
        if k < 1:
            return [[] for _ in probes]
        found = candidates(self._blocks, probes, k, self._coding, self._longest)
        return [self._nearest_of(probe, rows, k) for probe, rows in zip(probes, found, strict=True)]

    def _nearest_of(self, probe: Vectors, rows: NDArray[np.intp], k: int) -> list[tuple[str, float]]:
        """The nearest subjects of some rows, which have templates of k subjects or more."""
        away, numbers = distances(self._vectors_at(rows), probe), np.empty(len(rows), np.uint32)
        for here, block, at in self._by_block(rows):
            numbers[here] = block.numbers[at]
        order = np.argsort(away, kind="stable")
        nearest: dict[int, float] = {}
        last = math.inf
        for number, distance in zip(numbers[order].tolist(), away[order].tolist(), strict=True):
            if distance > last:
                break
            if nearest.setdefault(number, distance) == distance and len(nearest) == k:
                last = distance  # who is as near is decided by name
        return nearest_first([(self._subjects[number], distance) for number, distance in nearest.items()], k)

    def _row_of(self, raw_id: bytes) -> int | None:
        return next((row for row in self._by_id.find(_key(raw_id)) if self._id_at(row) == raw_id), None)

    def _rows_of(self, subject_id: str) -> list[int]:
        number = self._number_of(subject_id)
        if number is None:
            return []
        return sorted(row for row in self._by_subject.find(_key(subject_id)) if self._number_at(row) == number)

    def _number_of(self, subject_id: str) -> int | None:
        numbers = (self._number_at(row) for row in self._by_subject.find(_key(subject_id)))
        return next((number for number in numbers if self._subjects[number] == subject_id), None)

    def _id_at(self, row: int) -> bytes:
        block, at = self._at(row)
        return block.id_at(at)

    def _number_at(self, row: int) -> int:
        block, at = self._at(row)
        return int(block.numbers[at])

    def _vectors_at(self, rows: Sequence[int] | NDArray[np.intp]) -> Vectors:
        found = np.empty((len(rows), self._dimensions), np.float32)
        for here, block, at in self._by_block(np.asarray(rows, np.intp)):
            found[here] = self._coding.decoded([column[at] for column in block.coded])
        return found

    def _by_block(self, rows: NDArray[np.intp]) -> Iterator[tuple[NDArray[np.intp], _Block, NDArray[np.intp]]]:
        """Where in ``rows`` those of each block are, the block, and where in it they are."""
        places, at = np.divmod(rows, BLOCK)
        for place in set(places.tolist()):
            here = np.flatnonzero(places == place)
            yield here, self._blocks[place], at[here]

    def _extend(self, subject_ids: Sequence[str], raw_ids: Sequence[bytes], vectors: Vectors) -> None:
        keys = [_key(subject_id) for subject_id in subject_ids]
        known = self._numbers_of(dict(zip(subject_ids, keys, strict=True)))
        numbers = [known[subject_id] for subject_id in subject_ids]
        coded = self._coding.encoded(vectors)
        squares = np.einsum("ij,ij->i", vectors, vectors)
        self._longest = max(self._longest, math.sqrt(np.fmax.reduce(squares, initial=0)) * _ROUNDED_UP)
        first, start = len(self), 0
        while start < len(numbers):
            if not self._blocks or self._blocks[-1].count == BLOCK:
                rows = BLOCK if self._blocks else _room(0)
                kinds = self._coding.columns(self._dimensions)
                self._blocks.append(_Block(kinds, rows, len(self._blocks) >= _PLAIN_PAGES))
            end = start + BLOCK - self._blocks[-1].count
            piece, start = slice(start, end), end
            columns = [column[piece] for column in coded]
            self._blocks[-1].extend(raw_ids[piece], numbers[piece], squares[piece] / 2, columns)
        self._by_id.extend([_key(raw_id) for raw_id in raw_ids], first)
        self._by_subject.extend(keys, first)

    def _numbers_of(self, subjects: Mapping[str, int]) -> dict[str, int]:
        """The number of each subject, given with its key; those that are not there are added."""
        missing = self._by_subject.missing(list(subjects.values()))
        new = [subject_id for subject_id, is_missing in zip(subjects, missing, strict=True) if is_missing]
        known = dict(zip(new, self._subjects.extend(new), strict=True))
        for subject_id in subjects.keys() - known.keys():
            number = self._number_of(subject_id)
            known[subject_id] = self._subjects.add(subject_id) if number is None else number
        return known

    def _remove(self, row: int) -> None:
        number, last = self._number_at(row), len(self) - 1
        subject_id = self._subjects[number]
        block, at = self._at(row)
        self._coding.forget([column[at : at + 1] for column in block.coded])
        self._by_id.remove(_key(self._id_at(row)), row)
        self._by_subject.remove(_key(subject_id), row)
        if self._number_of(subject_id) is None:
            self._subjects.remove(number)
        if row != last:
            self._by_id.move(_key(self._id_at(last)), last, row)
            self._by_subject.move(_key(self._subjects[self._number_at(last)]), last, row)
            block.copy(at, self._blocks[-1], last % BLOCK)
        self._blocks[-1].pop()
        if not self._blocks[-1].count:
            self._blocks.pop()

    def _at(self, row: int) -> tuple[_Block, int]:
        place, at = divmod(row, BLOCK)
        return self._blocks[place], at


class _Block:
    """Up to :data:`BLOCK` rows."""

    __slots__ = ("_coded", "_ids", "_numbers", "_squares", "count")

    def __init__(self, kinds: Sequence[tuple[tuple[int, ...], DTypeLike]], rows: int, huge_pages: bool) -> None:
        """``kinds`` are the columns of vectors, and ``rows`` is for how many there is room at first."""
        self.count = 0
        self._coded = [_column((rows, *shape), kind, huge_pages) for shape, kind in kinds]
        self._squares: Floats = _column((rows,), np.float32, huge_pages)
        self._numbers: Numbers = _column((rows,), np.uint32, huge_pages)
        self._ids: NDArray[np.uint8] = _column((rows, ID_BYTES), np.uint8, huge_pages)

    @property
    def coded(self) -> Columns:
        """The columns of the vectors [count, ...]."""
        return [column[: self.count] for column in self._coded]

    @property
    def squares(self) -> Floats:
        """Half of each vector's squared length [count]."""
        return self._squares[: self.count]

    @property
    def numbers(self) -> Numbers:
        """The number of each row's subject [count]."""
        return self._numbers[: self.count]

    def extend(
        self, raw_ids: Sequence[bytes], numbers: Sequence[int], squares: NDArray[np.float32], coded: Columns
    ) -> None:
        """Add rows, for which there must be room in a block."""
        first, self.count = self.count, self.count + len(raw_ids)
        if self.count > len(self._numbers):
            self._resize(_room(self.count))
        rows = slice(first, self.count)
        ids = np.frombuffer(b"".join(raw_ids), np.uint8).reshape(-1, ID_BYTES)
        for column, values in zip(self._columns(), (*coded, squares, numbers, ids), strict=True):
            column[rows] = values

    def id_at(self, at: int) -> bytes:
        """The id of a row, packed."""
        return bytes(self._ids[at])

    def copy(self, at: int, other: _Block, row: int) -> None:
        """Overwrite a row with one of another block, or of this one."""
        for own, others in zip(self._columns(), other._columns(), strict=True):
            own[at] = others[row]

    def pop(self) -> None:
        """Remove the last row, and leave nothing of it in memory."""
        self.count -= 1
        for column in self._columns():
            column[self.count] = 0
        if 2 * _room(self.count) <= len(self._numbers):
            self._resize(_room(self.count))

    def _resize(self, rows: int) -> None:
        before = self._columns()
        count = min(rows, len(self._numbers))
        *self._coded, self._squares, self._numbers, self._ids = (
            _column((rows, *column.shape[1:]), column.dtype, huge_pages=False) for column in before
        )
        for column, old in zip(self._columns(), before, strict=True):
            column[:count] = old[:count]

    def _columns(self) -> tuple[NDArray[Any], ...]:
        return *self._coded, self._squares, self._numbers, self._ids


def _room(count: int) -> int:
    """For how many rows a block gets room when it has this many."""
    room = count + max(8, count // 8)
    return room if room <= min(SMALL, BLOCK) else BLOCK


def _column(shape: tuple[int, ...], kind: DTypeLike, huge_pages: bool) -> NDArray[Any]:
    """An empty column. The memory of a mapped one is taken up only as it is written to, and is given back at once.

    Huge pages make searches faster by a tenth.
    """
    if shape[0] <= SMALL:
        return np.empty(shape, kind)
    numbers = math.prod(shape)
    memory = mmap.mmap(-1, numbers * np.dtype(kind).itemsize, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if sys.platform == "linux":
        with suppress(OSError):  # a kernel without huge pages
            memory.madvise(mmap.MADV_HUGEPAGE if huge_pages else mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(memory, kind, numbers).reshape(shape)


def _key(name: str | bytes) -> int:
    return hash(name) & 0xFFFFFFFF
