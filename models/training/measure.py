"""Measures what a training has changed, on people outside the training set.

``clean`` pictures: every pair of two different pictures. ``degraded`` pictures: every degraded picture as a probe, with
every *other* clean picture as a template, so that no picture is compared with itself. Both pictures of a pair are
embedded by the same model version. Faces are aligned before they are degraded, so this measures the embedder, not the
detector.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from models.evaluation.comparisons import FAR, Comparisons, Interval, draws, exact_at_extremes, interval
from models.pictures.geometry import Pixels
from models.training.degrade import POOR, Conditions, degrade


@dataclass(frozen=True, slots=True)
class Change:
    """TAR at FAR before and after, with 95 % intervals of ``after`` and of the gain."""

    before: float
    after: float
    interval: Interval
    gain: float
    gain_interval: Interval

    @classmethod
    def of(cls, before: Comparisons, after: Comparisons, *, far: float = FAR, seed: int = 0) -> Self:
        """Compare two models on the same pairs, with the same bootstrap samples for both."""
        drawn = [(before.tar(far, times), after.tar(far, times)) for times in draws(before.people, seed)]
        pairs = np.array([pair for pair in drawn if not np.isnan(pair).any()]).reshape(-1, 2)
        plain = before.tar(far), after.tar(far)
        of_after = exact_at_extremes(interval(pairs[:, 1]), plain[1], after.people_twice)
        return cls(*plain, of_after, plain[1] - plain[0], interval(pairs[:, 1] - pairs[:, 0]))


def degraded(chips: Pixels, seed: int, conditions: Conditions = POOR) -> Pixels:
    """Degrade every chip. The result depends only on its position and the seed, so it is the same for every model."""
    made = (degrade(chip, conditions, np.random.default_rng([seed, 3, place])) for place, chip in enumerate(chips))
    return np.stack(list(made))
