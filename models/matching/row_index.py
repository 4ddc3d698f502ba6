"""A compact index from hashes to row numbers, which grows and shrinks by one small bucket at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

MEAN = 64
"""Entries of a bucket, on average, at which one of them is split."""
FEWEST = 16
"""Entries of a bucket, on average, below which two of them are joined."""
_ENTRY = 8
"""Bytes of an entry: the hash and the row, four each."""


class RowIndex:
    """Row numbers by 32-bit hash; a hash may have several rows.

    An entry takes about ten bytes. A change moves the entries of two buckets at most, so there is no moment at which
    everything is copied, as there is with a dict. Source: W. Litwin, "Linear hashing", VLDB 1980.
    """

    __slots__ = ("_buckets", "_count", "moved")

    def __init__(self) -> None:
        self._buckets = [bytearray()]
        self._count = 0
        self.moved = 0
        """Entries that were moved to another bucket, ever."""

    def __len__(self) -> int:
        return self._count

    def find(self, key: int) -> Iterator[int]:
        """The rows with this hash; the index must not be changed meanwhile."""
        bucket, start = self._buckets[self._place(key)], key.to_bytes(4, "little")
        at = bucket.find(start)
        while at >= 0:
            if at % _ENTRY == 0:
                yield int.from_bytes(bucket[at + 4 : at + _ENTRY], "little")
            at = bucket.find(start, at + 1)

    def add(self, key: int, row: int) -> None:
        """Add an entry."""
        self._buckets[self._place(key)] += _entry(key, row)
        self._count += 1
        if self._count > MEAN * len(self._buckets):
            self._split()

    def extend(self, keys: Sequence[int], first: int) -> None:
        """Add entries for the rows from ``first`` on: many at once are faster."""
        entries = np.empty((len(keys), 2), "<u4")
        entries[:, 0], entries[:, 1] = keys, np.arange(first, first + len(keys))
        raw, buckets = entries.tobytes(), self._buckets
        for place, start in zip(self._places(keys), range(0, len(raw), _ENTRY), strict=True):
            buckets[place] += raw[start : start + _ENTRY]
        self._count += len(keys)
        while self._count > MEAN * len(buckets):
            self._split()

    def missing(self, keys: Sequence[int]) -> list[bool]:
        """Of each hash whether there is surely no row with it."""
        raw, buckets = np.array(keys, "<u4").tobytes(), self._buckets
        places = zip(self._places(keys), range(0, len(raw), 4), strict=True)
        return [raw[start : start + 4] not in buckets[place] for place, start in places]

    def remove(self, key: int, row: int) -> None:
        """Remove an entry that is there."""
        bucket = self._buckets[self._place(key)]
        at = _position(bucket, _entry(key, row))
        bucket[at : at + _ENTRY] = bucket[-_ENTRY:]
        del bucket[-_ENTRY:]
        self._count -= 1
        if len(self._buckets) > 1 and self._count < FEWEST * len(self._buckets):
            self._join()

    def move(self, key: int, row: int, to: int) -> None:
        """Change the row of an entry that is there."""
        bucket = self._buckets[self._place(key)]
        at = _position(bucket, _entry(key, row))
        bucket[at : at + _ENTRY] = _entry(key, to)

    def _place(self, key: int) -> int:
        count = len(self._buckets)
        level = 1 << (count.bit_length() - 1)
        place = key & (2 * level - 1)
        return place if place < count else place - level

    def _places(self, keys: Sequence[int]) -> list[int]:
        count = len(self._buckets)
        level = 1 << (count.bit_length() - 1)
        places = np.array(keys, np.int64) & (2 * level - 1)
        found: list[int] = np.where(places < count, places, places - level).tolist()
        return found

    def _split(self) -> None:
        """Add a bucket, and fill it from the one whose hashes it shares."""
        level = 1 << (len(self._buckets).bit_length() - 1)
        place = len(self._buckets) - level
        old = self._buckets[place]
        entries = np.frombuffer(bytes(old), "<u4").reshape(-1, 2)
        goes = (entries[:, 0] & level).astype(bool)
        self._buckets[place] = bytearray(entries[~goes].tobytes())
        self._buckets.append(bytearray(entries[goes].tobytes()))
        self.moved += len(entries)

    def _join(self) -> None:
        """Empty the last bucket into the one from which it was split."""
        last = self._buckets.pop()
        level = 1 << (len(self._buckets).bit_length() - 1)
        self._buckets[len(self._buckets) - level] += last
        self.moved += len(last) // _ENTRY


def _entry(key: int, row: int) -> bytes:
    return key.to_bytes(4, "little") + row.to_bytes(4, "little")


def _position(bucket: bytearray, entry: bytes) -> int:
    at = bucket.index(entry)
    while at % _ENTRY:
        at = bucket.index(entry, at + 1)
    return at
