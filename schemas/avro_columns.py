"""Reads many records of Avro at once: the first field of all, then the next one, as columns.

A field begins elsewhere in each record, since names and numbers differ in length: so the reader keeps where it is in
each. Source: Avro 1.12 specification, "Binary Encoding".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
Rows = NDArray[np.intp] | slice

MISSING = np.iinfo(np.int64).min

_ALL = slice(None)
_FLOAT_BYTES = {"float": 4, "double": 8}
_NUMBER_BYTES = 9
"""Most bytes of a number, with 7 bits each."""
_MARGIN = 256
"""Bytes behind the last record, so that :meth:`AvroColumns.text` need not look where it ends."""


class AvroColumns:
    """Some encoded records, by field.

    Attributes:
        whole: which records are as the fields say, to their end [n]; what is read of others is of no use. Numbers of 62
            bits and more are taken for broken.
        starts: where in its record each text begins, by field [n]; where an optional one is missing, nought.
        lengths: bytes of each text, by field [n].
        numbers: by field [n]; where an optional one is missing, :data:`MISSING`.
    """

    def __init__(self, records: Sequence[bytes], header: bytes, fields: Sequence[tuple[str, Any]]) -> None:
        """Read them.

        Args:
            records: each begins with ``header``.
            header: what stands before the first field.
            fields: name and type of each, without logical types; a type may be optional: a list of null and another.
        """
        self._bytes = np.frombuffer(b"".join([*records, bytes(_MARGIN)]), np.uint8)
        self._ends = np.cumsum(np.fromiter(map(len, records), np.int64, len(records)))
        self._begins = np.concatenate((np.zeros(1, np.int64), self._ends))[: len(records)]
        self._at = self._begins.copy()
        self.whole = (self._within(self._at, len(header)) == np.frombuffer(header, np.uint8)).all(axis=1)
        self.starts: dict[str, Numbers] = {}
        self.lengths: dict[str, Numbers] = {}
        self.numbers: dict[str, Numbers] = {}
        self._skip(_ALL, np.full(len(records), len(header), np.int64))
        for name, kind in fields:
            self._read(name, kind, _ALL)
        self.whole &= self._at == self._ends

    def text(self, name: str, length: int) -> NDArray[np.uint8]:
        """The first bytes of a text of each record [n, length], and what stands behind it where it is shorter.

        ``length`` must be at most 256.
        """
        return self._within(self._begins + self.starts[name], min(length, _MARGIN))

    def _within(self, starts: Numbers, length: int) -> NDArray[np.uint8]:
        return np.asarray(self._bytes[starts[:, np.newaxis] + np.arange(length)])

    def _read(self, name: str, kind: Any, rows: Rows) -> None:
        if isinstance(kind, list):
            choice = self._number(rows)
            self._expect(rows, (choice == 0) | (choice == 1))
            self._read(name, next(one for one in kind if one != "null"), np.flatnonzero(choice != kind.index("null")))
        elif kind in ("string", "bytes"):
            length = self._number(rows)
            self._column(self.starts, name, 0)[rows] = self._at[rows] - self._begins[rows]
            self._column(self.lengths, name, 0)[rows] = length
            self._skip(rows, length)
        elif kind in ("int", "long"):
            self._column(self.numbers, name, MISSING)[rows] = self._number(rows)
        else:
            size = 1 if kind == "boolean" else _FLOAT_BYTES[kind]
            self._skip(rows, np.full(len(self._at[rows]), size, np.int64))

    def _column(self, columns: dict[str, Numbers], name: str, missing: int) -> Numbers:
        return columns.setdefault(name, np.full(len(self._at), missing, np.int64))

    def _number(self, rows: Rows) -> Numbers:
        at = self._at[rows]
        byte = self._bytes[at]
        found, at = (byte & 0x7F).astype(np.int64), at + 1
        left = np.flatnonzero(byte >= 0x80)
        for place in range(1, _NUMBER_BYTES):
            if not len(left):
                break
            byte = self._bytes[at[left]]
            found[left] |= (byte & 0x7F).astype(np.int64) << 7 * place
            at[left] += 1
            left = left[byte >= 0x80]
        ends = np.ones(len(at), bool)
        ends[left] = False
        self._expect(rows, ends)
        self._move(rows, at)
        return (found >> 1) ^ -(found & 1)

    def _skip(self, rows: Rows, sizes: Numbers) -> None:
        at = self._at[rows]
        self._expect(rows, (sizes >= 0) & (sizes <= self._ends[rows] - at))
        self._move(rows, at + np.clip(sizes, 0, self._ends[rows] - at))

    def _move(self, rows: Rows, at: Numbers) -> None:
        ends = self._ends[rows]
        self._expect(rows, at <= ends)
        self._at[rows] = np.minimum(at, ends)

    def _expect(self, rows: Rows, is_so: NDArray[np.bool_]) -> None:
        self.whole[rows] &= is_so
