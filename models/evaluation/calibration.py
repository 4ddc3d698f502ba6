"""Calibrates distances: computes the false-match curve of a model from the distances between strangers."""

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
    """Mean and standard deviation of the distances between different people, for one kind of pictures."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, distances: Sequence[float]) -> Strangers:
        """Compute them from distances."""
        return cls(fmean(distances), pstdev(distances))

    def fmr(self, distance: float) -> float:
        """The share of distances at or below this one, assuming a normal distribution."""
        return 0.5 * math.erfc((self.mean - distance) / (self.deviation * math.sqrt(2)))


def share(kinds: Sequence[Strangers], distance: float) -> float:
    """The share of strangers at or below a distance: the mean over the kinds of pictures.

    Every kind counts the same, however many pairs it has. Where there are no pairs, this extrapolates by the normal
    tail, which was pessimistic for face embeddings where it could be checked.
    """
    return fmean(kind.fmr(distance) for kind in kinds)


def reached(kinds: Sequence[Strangers], rate: float) -> float:
    """The largest distance at or below which at most this share of strangers is, to six decimals."""
    low, high = 0.0, max(kind.mean + 10 * kind.deviation for kind in kinds)
    while high - low > 1e-6:
        middle = (low + high) / 2
        if share(kinds, middle) > rate:
            high = middle
        else:
            low = middle
    return low


def curve(rate: Callable[[float], float]) -> Curve:
    """Distances in steps of 0.025 with their false-match rates, from a rate of 1e-9 to one of 0.999."""
    points: list[tuple[float, float]] = []
    for step in range(1, 10_000):
        distance = round(step * _STEP, 6)
        fmr = float(f"{rate(distance):.4g}")
        if fmr >= _LOWEST:
            points.append((distance, fmr))
        if fmr >= 0.999:
            return tuple(points)
    raise ValueError("the false-match rate does not reach 0.999 at any distance")


def thresholds(kinds: Sequence[Strangers]) -> dict[str, float]:
    """The threshold sets fmr-1e-2 to fmr-1e-6, as distances rounded down to three decimals."""
    return {f"fmr-{rate}": strict(reached(kinds, float(rate))) for rate in _RATES}


def strict(distance: float) -> float:
    """Round down to three decimals."""
    return math.floor(distance * 1000) / 1000
