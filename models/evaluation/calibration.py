"""Calibrates distances: the false-match curve of a model, from the distances between strangers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev

Curve = tuple[tuple[float, float], ...]

_STEP = 0.025
_LOWEST = 1e-9
_RATES = ("1e-2", "1e-3", "1e-4", "1e-5", "1e-6")


@dataclass(frozen=True, slots=True)
class Strangers:
    """Mean and standard deviation of the distances between different people under one kind of condition."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, distances: Sequence[float]) -> Strangers:
        """Measure the distances."""
        return cls(fmean(distances), pstdev(distances))

    def fmr(self, distance: float) -> float:
        """The share at or below a distance if they are normally distributed."""
        return 0.5 * math.erfc((self.mean - distance) / (self.deviation * math.sqrt(2)))


def share(kinds: Sequence[Strangers], distance: float) -> float:
    """The share of strangers at or below a distance: the mean over kinds of conditions.

    Every kind counts alike, however many pairs it has, and beyond what the pairs reach its normal tail is taken:
    with embeddings of faces that has been the pessimistic side.
    """
    return fmean(kind.fmr(distance) for kind in kinds)


def reached(kinds: Sequence[Strangers], rate: float) -> float:
    """The largest distance at or below which no more than this share of strangers is, to six decimals."""
    low, high = 0.0, max(kind.mean + 10 * kind.deviation for kind in kinds)
    while high - low > 1e-6:
        middle = (low + high) / 2
        if share(kinds, middle) > rate:
            high = middle
        else:
            low = middle
    return low


def curve(rate: Callable[[float], float]) -> Curve:
    """Distances in steps of 0.025 with the false-match rate of each, from where it counts until nearly all match."""
    points: list[tuple[float, float]] = []
    for step in range(1, 10_000):
        distance = round(step * _STEP, 6)
        fmr = float(f"{rate(distance):.4g}")
        if fmr >= _LOWEST:
            points.append((distance, fmr))
        if fmr >= 0.999:
            return tuple(points)
    raise ValueError("distances between strangers do not end")


def thresholds(kinds: Sequence[Strangers]) -> dict[str, float]:
    """Threshold sets fmr-1e-2 to fmr-1e-6, as distances to three decimals, rounded to the strict side."""
    return {f"fmr-{rate}": strict(reached(kinds, float(rate))) for rate in _RATES}


def strict(distance: float) -> float:
    """Round down to three decimals."""
    return math.floor(distance * 1000) / 1000
