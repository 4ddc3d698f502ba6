"""Finds the rows that may be the nearest of many templates, in one pass over the vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.matching.bfloat16 import Floats
from models.matching.codings import Coding, Columns

Numbers = NDArray[np.uint32]

_PROBES_AT_ONCE = 64
_SCORES_AT_ONCE = 131_072
"""As many as fit into a core's cache."""
_FEW = 64
"""Rows whose distances are computed sooner than fewer of them are chosen."""
_EPSILON = 2.0**-24
"""Largest relative error of one rounding to float32."""
_TINY = 2.0**-124


class Rows(Protocol):
    """Some rows of templates."""

    @property
    def coded(self) -> Columns:
        """Vectors, as the coding keeps them [n, ...]."""

    @property
    def squares(self) -> Floats:
        """Half of each vector's squared length [n]."""

    @property
    def numbers(self) -> Numbers:
        """The number of each row's subject [n]."""


def candidates(
    blocks: Sequence[Rows], probes: Floats, k: int, coding: Coding, longest: float
) -> Iterator[NDArray[np.intp]]:
    """The rows among which are, for each probe [n, dimensions], the nearest ones of its k nearest subjects.

    The rows are counted over all blocks. There are hardly more than needed unless the templates are nearly alike: the
    score p·t - |t|²/2 has the order of the distance but for roundings, for which a proven allowance is made. So whoever
    computes the distances of the rows from differences gets what comparing all templates would give, ties included.

    Args:
        blocks: the templates.
        probes: to find templates for.
        k: number of subjects; there must be as many.
        coding: of the blocks.
        longest: length of the longest template, or more.
    """
    for start in range(0, len(probes), _PROBES_AT_ONCE):
        part = probes[start : start + _PROBES_AT_ONCE]
        products = coding.products(part)
        bests = [_Best(k, one) for one in allowances(part, products.errors(longest), longest)]
        first = 0
        for coded, squares, numbers in _pieces(blocks, _SCORES_AT_ONCE // len(part)):
            scores = products.of(coded)
            scores -= squares[:, np.newaxis]
            for at, (best, peak) in enumerate(zip(bests, scores.max(axis=0).tolist(), strict=True)):
                if not peak < best.limit:
                    best.offer(first, np.ascontiguousarray(scores[:, at]), numbers)
            first += len(numbers)
        yield from (best.rows() for best in bests)


def _pieces(blocks: Sequence[Rows], most: int) -> Iterator[tuple[Columns, Floats, Numbers]]:
    """The columns of all rows, in order, of ``most`` rows at once."""
    for block in blocks:
        coded, squares, numbers = block.coded, block.squares, block.numbers
        for start in range(0, len(numbers), most):
            piece = slice(start, start + most)
            yield [column[piece] for column in coded], squares[piece], numbers[piece]


def allowances(probes: Floats, errors: NDArray[np.float64], longest: float) -> list[float]:
    """How far below another row's score a row's may be, for each probe, if its distance is not larger.

    With d dimensions, u = 2⁻²⁴ and L = |p| + |t|:

    - Instead of p·t the product is that of what is coded, and is off by no more than ``errors``.
    - The score is computed with an error of at most (d + 2)·u·L²/2, whatever the order of the sums.
    - A squared distance, from differences, is off by (d + 2)·u of itself, which is at most L², so by half of that in
      the measure of the score.
    - The square root gives squares that differ by 4u of themselves the same distance, which is 2u·L² of the score.

    Two rows are compared, so the first three count twice. The terms with u are doubled once more, which covers those of
    second order, what is coded being longer than the vectors by the errors, and the rounding of the limit to float32.
    Processors may take numbers below the smallest normal one for nought. Source: N. Higham, "Accuracy and Stability of
    Numerical Algorithms", 2nd edition, sections 2.1, 3.1 and 3.5.

    Args:
        probes: [n, dimensions].
        errors: of the products of what is coded, for each probe [n].
        longest: length of the longest template, or more.
    """
    length = np.linalg.norm(probes.astype(np.float64), axis=1)
    dimensions, both = probes.shape[1], length + longest
    fine = 4 * (dimensions + 3) * _EPSILON * both * both + dimensions * _TINY * (1 + both)
    return [float(one) for one in 1.001 * (2 * errors + fine)]


class _Best:
    """The rows of one probe that may be the nearest of its k nearest subjects, while blocks are gone through."""

    def __init__(self, k: int, allowance: float) -> None:
        self.limit = -np.inf
        """A row with a smaller score is out."""
        self._k = k
        self._allowance = allowance
        self._top_scores = np.empty(0, np.float32)
        self._top_numbers = np.empty(0, np.uint32)
        self._scores: list[Floats] = []
        self._numbers: list[Numbers] = []
        self._rows: list[NDArray[np.intp]] = []

    def offer(self, first: int, scores: Floats, numbers: Numbers) -> None:
        """Take in the scores [n] of the rows from ``first`` on, with the numbers of their subjects."""
        if self.limit == -np.inf:
            self._tighten(scores, numbers)
        else:
            at = np.flatnonzero(~(scores < self.limit))
            self._tighten(scores[at], numbers[at])
        at = np.flatnonzero(~(scores < self.limit))
        self._scores.append(scores[at])
        self._numbers.append(numbers[at])
        self._rows.append(at + first)

    def rows(self) -> NDArray[np.intp]:
        """The rows, those of each subject that may be its nearest."""
        scores, numbers = np.concatenate(self._scores), np.concatenate(self._numbers)
        rows = np.concatenate(self._rows)
        near = ~(scores < self.limit)
        scores, numbers, rows = scores[near], numbers[near], rows[near]
        if len(rows) <= _FEW:
            return rows
        order = np.lexsort((-scores, numbers))
        scores, numbers = scores[order], numbers[order]
        starts = np.flatnonzero(np.diff(numbers, prepend=numbers[:1] + 1))
        best = np.repeat(scores[starts], np.diff(starts, append=len(scores)))
        return np.asarray(rows[order][~(scores < best - self._allowance)], np.intp)

    def _tighten(self, scores: Floats, numbers: Numbers) -> None:
        """Raise the limit to what k different subjects reach."""
        scores = np.concatenate((self._top_scores, scores))
        numbers = np.concatenate((self._top_numbers, numbers))
        take = 2 * self._k
        while True:
            top = np.flatnonzero(~(scores < _reached(scores, take)))
            top = top[np.argsort(-scores[top], kind="stable")]
            firsts = _first_of_each(numbers[top].tolist(), self._k)
            if len(firsts) == self._k or len(top) == len(scores):
                break
            take *= 8
        self._top_scores, self._top_numbers = scores[top[firsts]], numbers[top[firsts]]
        if len(firsts) == self._k:
            self.limit = float(self._top_scores[-1]) - self._allowance


def _first_of_each(numbers: Sequence[int], k: int) -> list[int]:
    """The first place of each number, of k numbers at most."""
    firsts: dict[int, int] = {}
    for place, number in enumerate(numbers):
        if firsts.setdefault(number, place) == place and len(firsts) == k:
            break
    return list(firsts.values())


def _reached(scores: Floats, count: int) -> float:
    """A score that at least ``count`` of the scores reach, and few more do."""
    groups = 8 * count
    if len(scores) < 2 * groups:
        return -np.inf
    # Of groups of scores those with the largest peaks: their count-th largest is reached by as many.
    width = len(scores) // groups
    peaks = scores[: width * groups].reshape(width, groups).max(axis=0)
    return float(np.partition(peaks, -count)[-count])
