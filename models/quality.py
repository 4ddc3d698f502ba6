"""How good a probe or template a face makes, and when it is too poor to be one.

The limits and how they were found are in docs/models.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from models.geometry import Pixels, Points
from schemas.events import Quality
from schemas.reasons import Reason


@dataclass(frozen=True, slots=True)
class Limits:
    """Below or beyond these a face is refused. Units as in :class:`schemas.events.Quality`."""

    score: float
    size: float
    sharpness: float
    darkest: float
    brightest: float
    yaw: float


PROBE = Limits(score=0.5, size=12, sharpness=8, darkest=0.04, brightest=0.96, yaw=70)
"""A frame's face is asked about unless the answer would be a guess."""

TEMPLATE = Limits(score=0.5, size=20, sharpness=15, darkest=0.08, brightest=0.92, yaw=50)
"""An enrolment photo is compared with for years: it has to be better."""


def measure(chip: Pixels, points: Points, *, score: float, yaw: float) -> Quality:
    """Measure a face.

    Args:
        chip: the aligned face.
        points: its five landmarks [5, 2] (see Face.landmarks) in pixels of the picture.
        score: of the detector.
        yaw: in degrees.
    """
    grey = cv2.cvtColor(chip, cv2.COLOR_RGB2GRAY)
    _, deviation = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))
    size = float(np.linalg.norm(points[0:2].mean(0) - points[2:4].mean(0)))
    sharpness = float(deviation[0, 0]) ** 2
    brightness = float(cv2.mean(grey)[0]) / 255
    parts = (
        score,
        _rising(size, PROBE.size, 45),
        _rising(np.log(max(sharpness, 1e-3)), np.log(PROBE.sharpness), np.log(150)),
        _rising(min(brightness, 1 - brightness), PROBE.darkest, 0.25),
        _rising(-abs(yaw), -PROBE.yaw, -15),
    )
    overall = float(np.prod(parts)) ** (1 / len(parts))
    return Quality(score, size, sharpness, brightness, yaw, overall)


def refusal(quality: Quality, limits: Limits) -> Reason | None:
    """The first limit that a face does not keep, or None."""
    checks = (
        (quality.score < limits.score, Reason.LOW_SCORE),
        (quality.size < limits.size, Reason.TOO_SMALL),
        (quality.brightness < limits.darkest, Reason.TOO_DARK),
        (quality.brightness > limits.brightest, Reason.TOO_BRIGHT),
        (quality.sharpness < limits.sharpness, Reason.TOO_BLURRED),
        (abs(quality.yaw) > limits.yaw, Reason.TURNED_AWAY),
    )
    return next((reason for broken, reason in checks if broken), None)


def _rising(value: float, zero: float, one: float) -> float:
    """0 to 1, straight between two values."""
    return float(np.clip((value - zero) / (one - zero), 0.0, 1.0))
