"""How good a probe or template a face makes, and when it is too poor to be one.

The limits and how they were found are in docs/models.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from models.geometry import Pixels, Points
from schemas.events import Quality
from schemas.reasons import Reason


@dataclass(frozen=True, slots=True)
class Limits:
    """Below or beyond these a face is refused. Units as in :class:`schemas.events.Quality`.

    ``sharpness`` holds for a face of brightness 0.5: the same blur leaves less variance in a darker face, in proportion
    to the square of its brightness.
    """

    score: float
    size: float
    sharpness: float
    darkest: float
    brightest: float
    yaw: float


PROBE = Limits(score=0.4, size=10, sharpness=3.5, darkest=0.03, brightest=0.93, yaw=75)
"""Poorer faces of a frame are not asked about: among them strangers pass for each other several times as often."""

TEMPLATE = Limits(score=0.5, size=16, sharpness=6, darkest=0.08, brightest=0.88, yaw=60)
"""An enrolment photo is compared with for years: it has to be better."""

_GOOD = Limits(score=0.8, size=40, sharpness=60, darkest=0.25, brightest=0.75, yaw=15)
"""From here on a face could not be better."""


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
    overall = math.prod(
        (
            _rising(score, 0, _GOOD.score),
            _rising(size, 0, _GOOD.size),
            _rising(math.log1p(_sharpness(sharpness, brightness)), 0, math.log1p(_GOOD.sharpness)),
            _rising(brightness, 0, _GOOD.darkest),
            _rising(-brightness, -1, -_GOOD.brightest),
            _rising(-abs(yaw), -90, -_GOOD.yaw),
        )
    )
    return Quality(score, size, sharpness, brightness, yaw, overall)


def refusal(quality: Quality, limits: Limits) -> Reason | None:
    """The first limit that a face does not keep, or None."""
    checks = (
        (quality.score < limits.score, Reason.LOW_SCORE),
        (quality.size < limits.size, Reason.TOO_SMALL),
        (quality.brightness < limits.darkest, Reason.TOO_DARK),
        (quality.brightness > limits.brightest, Reason.TOO_BRIGHT),
        (_sharpness(quality.sharpness, quality.brightness) < limits.sharpness, Reason.TOO_BLURRED),
        (abs(quality.yaw) > limits.yaw, Reason.TURNED_AWAY),
    )
    return next((reason for broken, reason in checks if broken), None)


def _sharpness(measured: float, brightness: float) -> float:
    """What the sharpness would be at a brightness of 0.5."""
    return measured * (0.5 / max(brightness, 0.02)) ** 2


def _rising(value: float, zero: float, one: float) -> float:
    """0 to 1, straight between two values."""
    return min(1.0, max(0.0, (value - zero) / (one - zero)))
