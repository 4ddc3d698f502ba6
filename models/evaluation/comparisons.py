"""Compares many pairs of pictures at once, with confidence intervals.

Intervals are over people, not over pairs, because the pairs of one person are not independent: people are drawn with
replacement, together with all their pairs (bootstrap, Efron 1979; for biometrics Bolle et al. 2004).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

Vectors = NDArray[np.float32]
Distances = NDArray[np.float64]
Interval = tuple[float, float]

Chosen = Callable[[NDArray[np.intp], NDArray[np.intp]], NDArray[np.bool_]] | None
"""Selects pairs [m], given the row of each picture in them; None: all pairs."""

FAR = 1e-2
"""The false-accept rate at which versions are compared."""

_LEVEL = 0.95
_DRAWS = 400


@dataclass(frozen=True, slots=True)
class Comparisons:
    """Pairs sorted by distance: their distances [n], and the numbers of the two people in each [n]."""

    distances: NDArray[np.float64]
    first: NDArray[np.int32]
    second: NDArray[np.int32]

    @classmethod
    def of(
        cls,
        probes: Vectors,
        templates: Vectors,
        labels: NDArray[np.int32],
        chosen: Chosen = None,
    ) -> Self:
        """Compare each probe with each template of another picture; row i of both is the same picture.

        Args:
            probes: vectors [n, d].
            templates: vectors [n, d].
            labels: the number of the person in each picture [n].
            chosen: selects the pairs.
        """
        one, other = np.nonzero(~np.eye(len(labels), dtype=bool))
        if chosen is not None:
            rows = chosen(one, other)
            one, other = one[rows], other[rows]
        return cls.among(cdist(probes, templates)[one, other], labels[one], labels[other])

    @classmethod
    def joined(cls, several: Sequence[Comparisons]) -> Self:
        """Join comparisons of different people."""
        starts = np.cumsum([0, *(1 + max(part.first.max(), part.second.max()) for part in several)])
        return cls.among(
            np.concatenate([part.distances for part in several]),
            np.concatenate([part.first + start for part, start in zip(several, starts, strict=False)]),
            np.concatenate([part.second + start for part, start in zip(several, starts, strict=False)]),
        )

    @classmethod
    def repeated(cls, several: Sequence[Comparisons]) -> Self:
        """Join comparisons of the same people."""
        return cls.among(
            np.concatenate([part.distances for part in several]),
            np.concatenate([part.first for part in several]),
            np.concatenate([part.second for part in several]),
        )

    @classmethod
    def among(cls, distances: NDArray[np.float64], first: NDArray[np.int32], second: NDArray[np.int32]) -> Self:
        """Make comparisons from pairs in any order."""
        order = np.argsort(distances, kind="stable")
        return cls(distances[order], first[order], second[order])

    def distance_at(self, far: float) -> float:
        """The largest distance with at most this false-match rate; NaN without impostor pairs."""
        strangers = self.strangers()
        return float(strangers[int(strangers.size * far)]) if strangers.size else float("nan")

    def tar(self, far: float = FAR, times: NDArray[np.float64] | None = None) -> float:
        """TAR at one FAR, see :meth:`tars`."""
        return self.tars([far], times)[0]

    def tars(self, fars: Sequence[float], times: NDArray[np.float64] | None = None) -> list[float]:
        """TAR at each FAR (see :func:`models.evaluation.scores.tar_at_far`); NaN without pairs of both kinds.

        Each person counts ``times`` [people] times, by default once. A pair of two people counts as often as the
        product of their times, a pair of one person as often as that person.
        """
        same = self.first == self.second
        weight = np.ones(len(same)) if times is None else np.where(same, 1, times[self.second]) * times[self.first]
        passed = np.cumsum(np.where(same, 0, weight))
        accepted = np.concatenate([[0], np.cumsum(np.where(same, weight, 0))])
        if not passed[-1] or not accepted[-1]:
            return [float("nan")] * len(fars)
        below = np.searchsorted(passed, passed[-1] * np.asarray(fars) * (1 + 1e-12), "right")
        # Genuine pairs at the same distance as the first refused stranger do not pass.
        below = np.searchsorted(self.distances, self.distances[np.minimum(below, len(same) - 1)], "left")
        return [float(share) for share in accepted[below] / accepted[-1]]

    @property
    def people(self) -> int:
        """The largest person number plus one."""
        return 1 + int(max(self.first.max(), self.second.max()))

    @property
    def people_twice(self) -> int:
        """The number of people with at least one genuine pair."""
        return len(set(self.first[self.first == self.second].tolist()))

    def genuine(self) -> Distances:
        """The distances between two pictures of one person."""
        return np.asarray(self.distances[self.first == self.second])

    def strangers(self) -> Distances:
        """The distances between pictures of two people."""
        return np.asarray(self.distances[self.first != self.second])


def draws(people: int, seed: int) -> NDArray[np.float64]:
    """How often each person is drawn [draws, people] in bootstrap samples of the people."""
    random = np.random.default_rng([seed, 2])
    return random.multinomial(people, np.full(people, 1 / people), _DRAWS).astype(np.float64)


def interval(values: NDArray[np.float64]) -> Interval:
    """The central interval with 95 % of the values; NaN without values."""
    if not values.size:
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2]).tolist()
    return low, high


def exact_at_extremes(found: Interval, rate: float, people: int) -> Interval:
    """The interval of a rate, widened to the exact one for this number of people if the rate is 0 or 1.

    In that case every bootstrap draw gives the same rate, so the interval would have no width. The bound is that of one
    independent trial per person (Clopper and Pearson 1934): 0 to 0.31 for ten people of whom none failed.
    """
    if rate not in (0.0, 1.0) or not people:
        return found
    furthest = float(((1 - _LEVEL) / 2) ** (1 / people))
    return (0.0, 1 - furthest) if rate == 0 else (furthest, 1.0)
