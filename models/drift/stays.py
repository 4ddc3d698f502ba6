"""The effective size of a sample whose neighbours are alike.

Somebody stands before the camera for a while, so one face tells most of what the next would. Faces of one stay count as
one draw, but not for ever: light and pose change too.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

LONGEST = 50
"""Consecutive faces of one person that count as one draw."""


def effective(stays: Sequence[int], longest: int = LONGEST) -> float:
    """The number of independent draws that a sample is worth, by the stay of each of its members, in their order.

    ``longest`` is how many in a row count as one draw.

    Kish's effective sample size: the square of the sum of the weights by the sum of their squares.
    """
    sizes = []
    for _, members in groupby(stays):
        whole, rest = divmod(sum(1 for _ in members), longest)
        sizes += [longest] * whole + ([rest] if rest else [])
    return sum(sizes) ** 2 / sum(size**2 for size in sizes) if sizes else 0.0
