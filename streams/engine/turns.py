"""Take turns: whoever was served goes to the end of the line."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from itertools import islice
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

_LOOKED_AT = 1024
"""How many are asked in one turn whether they can go."""


class Turns(Generic[K, T]):
    """A line of those who take turns, each under a key of its own."""

    def __init__(self) -> None:
        self._line: OrderedDict[K, T] = OrderedDict()

    def __iter__(self) -> Iterator[T]:
        return iter(self._line.values())

    def add(self, key: K, one: T) -> None:
        """Put one at the end."""
        self._line[key] = one

    def remove(self, key: K) -> None:
        """Take one out.

        Raises:
            KeyError: nobody waits under this key.
        """
        del self._line[key]

    def next(self, can_go: Callable[[T], bool]) -> T | None:
        """The first of the first 1,024 who can go, and who is now the last; None if there is none."""
        for key, one in islice(self._line.items(), _LOOKED_AT):
            if can_go(one):
                self._line.move_to_end(key)
                return one
        return None
