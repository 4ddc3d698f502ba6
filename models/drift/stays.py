"""The effective size of a sample whose neighbours are alike.

A person stands in front of the camera for a while, so consecutive faces are not independent. The faces of one stay
count as one draw, up to a limit, because light and pose change during a long stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

LONGEST = 50
"""Largest number of consecutive faces of one person that count as one draw."""


def effective(stays: Sequence[int], longest: int = LONGEST) -> float:
    """Kish's effective sample size: the square of the sum of the draws' sizes, divided by the sum of their squares.

    Args:
        stays: the stay of each member of the sample, in order.
        longest: largest number of consecutive members that count as one draw.
    """
    sizes = []
    for _, members in groupby(stays):
        whole, rest = divmod(sum(1 for _ in members), longest)
        sizes += [longest] * whole + ([rest] if rest else [])
    return sum(sizes) ** 2 / sum(size**2 for size in sizes) if sizes else 0.0
