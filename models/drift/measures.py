"""The measures of drift: quality values of each face, rates, the margin of matches, and the vectors.

A measure alarms only if its effect is large *and* its p-value is small: with enough faces any difference is
significant, and with few people in front of the camera any difference can be large.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from schemas.parts import Quality

SIGNIFICANT = 3e-4
"""Largest p-value of an alarm. 10,000 frames are 33 windows without overlap, with ten measures each. By Bonferroni's
correction this allows one false alarm in 100,000 frames, even without the limit on the effect."""

_HARMLESS = 0.5
"""Blockiness at a JPEG quality of about 30. Lower values count as this: better quality makes little difference."""

NUMBERS: Mapping[str, Callable[[Quality], float | None]] = {
    "quality": lambda quality: quality.overall,
    "score": lambda quality: quality.score,
    "size": lambda quality: math.log(max(quality.size, 1e-3)),
    "sharpness": lambda quality: math.log1p(max(quality.sharpness, 0.0)),
    "brightness": lambda quality: quality.brightness,
    "blockiness": lambda quality: None if quality.blockiness is None else max(quality.blockiness, _HARMLESS),
}
"""The value of one face by measure; lengths and variances as logarithms. None: not measured."""

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
"""The smallest effect of an alarm, by measure.

The effect of face values and of the margin is the Kolmogorov-Smirnov D, 0 to 1; of a rate, its increase; of the
embedding, the classifier's ROC AUC, where 0.5 is chance. Size and brightness may change more than the others, because
they vary with where people stand and with the time of day.
"""


@dataclass(frozen=True, slots=True)
class Measure:
    """One comparison of the current sample with the reference.

    Attributes:
        name: see ``LIMITS``.
        reference: mean of the reference, in the measure's own unit; None for vectors.
        current: mean of the current sample; None for vectors.
        effect: how much they differ, see ``LIMITS``.
        p_value: the probability of such a difference by chance alone.
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
