"""Names by number, packed into pages: a Python string of a short name would take five times the memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence

_PAGE = 32
"""Names of a page."""
_END = b"\xff"
"""Separates the names of a page; no UTF-8 text contains it."""


class PackedNames:
    """Names by number. The numbers of removed names are used again."""

    __slots__ = ("_free", "_pages", "_total")

    def __init__(self) -> None:
        self._pages: list[bytes] = []
        self._free = array("I")
        self._total = 0

    def __len__(self) -> int:
        return self._total - len(self._free)

    def __getitem__(self, number: int) -> str:
        page, at = divmod(number, _PAGE)
        return _text(self._pages[page].split(_END)[at])

    def __iter__(self) -> Iterator[str]:
        free = set(self._free)
        for number, name in enumerate(name for page in self._pages for name in page.split(_END)):
            if number not in free:
                yield _text(name)

    def add(self, name: str) -> int:
        """Add a name, whether or not it is there already; return its number."""
        if self._free:
            number = self._free.pop()
            self._write(number, _bytes(name))
            return number
        number = self._total
        self._total += 1
        if number % _PAGE:
            self._pages[-1] += _END + _bytes(name)
        else:
            self._pages.append(_bytes(name))
        return number

    def extend(self, names: Sequence[str]) -> list[int]:
        """Add names; return the number of each. Many at once are faster."""
        # As long as there are free numbers, and up to the end of a page, one after another.
        alone = len(self._free) + -self._total % _PAGE
        numbers = [self.add(name) for name in names[:alone]]
        left = names[alone:]
        numbers += range(self._total, self._total + len(left))
        self._pages += [pack(left[start : start + _PAGE]) for start in range(0, len(left), _PAGE)]
        self._total += len(left)
        return numbers

    def remove(self, number: int) -> None:
        """Remove a name."""
        self._write(number, b"")
        self._free.append(number)
        if not len(self):
            self._pages.clear()
            self._free, self._total = array("I"), 0

    def _write(self, number: int, name: bytes) -> None:
        page, at = divmod(number, _PAGE)
        names = self._pages[page].split(_END)
        names[at] = name
        self._pages[page] = _END.join(names)


def pack(names: Sequence[str]) -> bytes:
    """A page of names."""
    return _END.join(map(_bytes, names))


def unpack(page: bytes) -> list[str]:
    """The names of a page that has at least one."""
    return [_text(name) for name in page.split(_END)]


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogatepass")
