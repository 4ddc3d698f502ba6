"""The templates of a user who has many: columns in blocks of fixed size, with indexes of the ids and the subjects."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from models.matching.nearest_rows import Floats, Numbers, candidates
from models.matching.packed_names import PackedNames
from models.matching.row_index import RowIndex
from models.matching.template_ids import ID_BYTES
from models.matching.user_templates import FewTemplates, UserTemplates, Vectors, distances, nearest_first

BLOCK = 16_384
"""Rows of a full block, 8 MB of 128 dimensions: from 4 MB on, NumPy asks for huge pages. Nothing larger is ever copied
at once."""


class ManyTemplates(UserTemplates):
    """Any number of templates. A change costs the same however many there are; a search goes over all vectors once."""

    __slots__ = ("_blocks", "_by_id", "_by_subject", "_longest", "_subjects")

    def __init__(self) -> None:
        super().__init__()
        self._blocks: list[_Block] = []
        self._by_id = RowIndex()
        self._by_subject = RowIndex()
        self._subjects = PackedNames()
        self._longest = 0.0

    @classmethod
    def of_few(cls, few: FewTemplates) -> ManyTemplates:
        """The same templates."""
        many = cls()
        for subject_id, template_id, vector in few.rows():
            many.put(subject_id, template_id, vector)
        return many

    def to_few(self, dimensions: int) -> FewTemplates:
        """The same templates, of which there must be few."""
        few = FewTemplates(dimensions)
        for row, template_id in enumerate(self.ids()):
            block, at = self._at(row)
            few.put(self._subjects[int(block.numbers[at])], template_id, block.vectors[at])
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
        found = candidates(self._blocks, probes, k, self._longest)
        return [self._nearest_of(probe, rows.tolist(), k) for probe, rows in zip(probes, found, strict=True)]

    def _nearest_of(self, probe: Vectors, rows: Sequence[int], k: int) -> list[tuple[str, float]]:
        """The nearest subjects of some rows."""
        places: dict[int, int] = {}
        numbers = [places.setdefault(self._number_at(row), len(places)) for row in rows]
        subjects = [self._subjects[number] for number in places]
        return nearest_first(subjects, numbers, distances(self._vectors_at(rows), probe), k)

    def _row_of(self, raw_id: bytes) -> int | None:
        return next((row for row in self._by_id.find(_key(raw_id)) if self._id_at(row) == raw_id), None)

    def _rows_of(self, subject_id: str) -> list[int]:
        rows = sorted(self._by_subject.find(_key(subject_id)))
        numbers = [self._number_at(row) for row in rows]
        own = {number for number in set(numbers) if self._subjects[number] == subject_id}
        return [row for row, number in zip(rows, numbers, strict=True) if number in own]

    def _id_at(self, row: int) -> bytes:
        block, at = self._at(row)
        return bytes(block.ids[at * ID_BYTES : (at + 1) * ID_BYTES])

    def _number_at(self, row: int) -> int:
        block, at = self._at(row)
        return int(block.numbers[at])

    def _vectors_at(self, rows: Sequence[int]) -> Vectors:
        found = np.empty((len(rows), self._blocks[0].vectors.shape[1]), np.float32)
        for place, row in enumerate(rows):
            block, at = self._at(row)
            found[place] = block.vectors[at]
        return found

    def _append(self, subject_id: str, raw_id: bytes, vector: Vectors) -> None:
        row = len(self)
        known = self._rows_of(subject_id)
        number = self._number_at(known[0]) if known else self._subjects.add(subject_id)
        if row % BLOCK == 0:
            # The memory of a whole block is taken up only as it is written to.
            self._blocks.append(_Block(BLOCK if self._blocks else 8, len(vector)))
        half = float(np.dot(vector, vector)) / 2
        self._blocks[-1].append(raw_id, number, vector, half)
        self._longest = max(self._longest, math.sqrt(2 * half) * (1 + 1e-5))
        self._by_id.add(_key(raw_id), row)
        self._by_subject.add(_key(subject_id), row)

    def _remove(self, row: int) -> None:
        number, last = self._number_at(row), len(self) - 1
        subject_id = self._subjects[number]
        self._by_id.remove(_key(self._id_at(row)), row)
        self._by_subject.remove(_key(subject_id), row)
        if not self._rows_of(subject_id):
            self._subjects.remove(number)
        if row != last:
            self._by_id.move(_key(self._id_at(last)), last, row)
            self._by_subject.move(_key(self._subjects[self._number_at(last)]), last, row)
            block, at = self._at(row)
            block.put(at, *self._blocks[-1].row(last % BLOCK))
        self._blocks[-1].pop()
        if not self._blocks[-1].count:
            self._blocks.pop()

    def _at(self, row: int) -> tuple[_Block, int]:
        place, at = divmod(row, BLOCK)
        return self._blocks[place], at


class _Block:
    """Up to :data:`BLOCK` rows."""

    __slots__ = ("_halves", "_numbers", "_vectors", "count", "ids")

    def __init__(self, rows: int, dimensions: int) -> None:
        """``rows`` is for how many there is room at first."""
        self.count = 0
        self.ids = bytearray()
        self._vectors: Vectors = np.empty((rows, dimensions), np.float32)
        self._halves: Floats = np.empty(rows, np.float32)
        self._numbers: Numbers = np.empty(rows, np.uint32)

    @property
    def vectors(self) -> Vectors:
        """[count, dimensions]."""
        return self._vectors[: self.count]

    @property
    def halves(self) -> Floats:
        """Half of each vector's squared length [count]."""
        return self._halves[: self.count]

    @property
    def numbers(self) -> Numbers:
        """The number of each row's subject [count]."""
        return self._numbers[: self.count]

    def row(self, at: int) -> tuple[bytes, int, Vectors, float]:
        """The id, the subject's number, the vector and half its squared length of a row."""
        raw_id = bytes(self.ids[at * ID_BYTES : (at + 1) * ID_BYTES])
        return raw_id, int(self._numbers[at]), self._vectors[at], float(self._halves[at])

    def append(self, raw_id: bytes, number: int, vector: Vectors, half: float) -> None:
        """Add a row; the columns grow by an eighth when they are full."""
        if self.count == len(self._halves):
            self._resize(min(BLOCK, self.count + max(8, self.count // 8)))
        self.ids += bytes(ID_BYTES)
        self.count += 1
        self.put(self.count - 1, raw_id, number, vector, half)

    def put(self, at: int, raw_id: bytes, number: int, vector: Vectors, half: float) -> None:
        """Overwrite a row."""
        self.ids[at * ID_BYTES : (at + 1) * ID_BYTES] = raw_id
        self._numbers[at], self._vectors[at], self._halves[at] = number, vector, half

    def pop(self) -> None:
        """Remove the last row, and leave nothing of it in memory."""
        self.count -= 1
        self._vectors[self.count] = 0
        del self.ids[-ID_BYTES:]
        if self.count < len(self._halves) // 2:
            self._resize(self.count + max(8, self.count // 8))

    def _resize(self, rows: int) -> None:
        # In place where the C library can: copying leaves holes in the heap. No view of a column outlives a call.
        self._vectors.resize((rows, self._vectors.shape[1]), refcheck=False)
        self._halves.resize(rows, refcheck=False)
        self._numbers.resize(rows, refcheck=False)


def _key(name: str | bytes) -> int:
    return hash(name) & 0xFFFFFFFF
