"""The measures of drift: numbers of each face, rates, the score margin, and the vectors.

Each measure alarms on an effect that matters *and* a p-value, never on one alone: with faces enough any difference is
significant, and with few people in front of the camera any difference can be large.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from schemas.parts import Quality

SIGNIFICANT = 3e-4
"""Largest p-value of an alarm. 10,000 frames are 33 windows that do not overlap, each with ten measures: by Bonferroni
that is one false alarm in 100,000 frames, before any effect is asked for."""

_HARMLESS = 0.5
"""Blockiness at a quality of about 30; above that quality compression costs little, however it changes."""

NUMBERS: Mapping[str, Callable[[Quality], float | None]] = {
    "quality": lambda quality: quality.overall,
    "score": lambda quality: quality.score,
    "size": lambda quality: math.log(max(quality.size, 1e-3)),
    "sharpness": lambda quality: math.log1p(max(quality.sharpness, 0.0)),
    "brightness": lambda quality: quality.brightness,
    "blockiness": lambda quality: None if quality.blockiness is None else max(quality.blockiness, _HARMLESS),
}
"""The numbers of one face by measure; lengths and variances as logarithms. None: not measured."""

LIMITS: Mapping[str, float] = {
    "quality": 0.4,
    "score": 0.4,
    "size": 0.5,
    "sharpness": 0.4,
    "brightness": 0.5,
    "blockiness": 0.4,
    "refused_rate": 0.3,
    "faceless_rate": 0.8,
    "unknown_rate": 0.3,
    "margin": 0.3,
    "embedding": 0.65,
}
"""The effect from which on a measure may alarm. Of a number and of the margin: Kolmogorov's and Smirnov's D, 0 to 1; of
a rate: how much it has risen, of 1; of the embedding: the area under the classifier's ROC curve, 0.5 being chance. Size
and brightness change by themselves with where people stand and with the day, so they may change more."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One comparison of the current sample with the reference.

    Attributes:
        name: see ``LIMITS``.
        reference: mean of the reference, in the measure's own unit; None of vectors.
        current: mean of the present; None of vectors.
        effect: how much they differ, see ``LIMITS``.
        p_value: how often chance alone makes such a difference.
    """

    name: str
    reference: float | None
    current: float | None
    effect: float
    p_value: float

    @property
    def alarming(self) -> bool:
        """Whether the effect is both large and significant."""
        return self.effect >= LIMITS[self.name] and self.p_value <= SIGNIFICANT
