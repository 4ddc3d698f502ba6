"""Measures the quality of a face, and refuses faces of low quality.

docs/models.md explains how the limits were found.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from models.analysis.covering import SURE, Covering
from models.pictures.geometry import Inside, Pixels, Points
from schemas.parts import Quality
from schemas.reasons import Reason


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits outside which a face is refused, in the units of :class:`schemas.parts.Quality`.

    ``sharpness`` is for a brightness of 0.5, because the same blur leaves less variance in a darker face, in proportion
    to the square of its brightness. ``inside`` is the share of the chip that lies in the picture.
    """

    score: float
    size: float
    sharpness: float
    darkest: float
    brightest: float
    yaw: float
    covered: float
    inside: float


PROBE = Limits(score=0.4, size=10, sharpness=3.5, darkest=0.03, brightest=0.93, yaw=75, covered=math.inf, inside=0.55)
"""Limits for faces in frames. Beyond them, strangers are confused several times as often.
A covered face is not refused, because the accurate model recognises most of them."""

TEMPLATE = Limits(score=0.4, size=16, sharpness=6, darkest=0.08, brightest=0.8, yaw=60, covered=SURE, inside=0.65)
"""Limits for enrolment photos. They are stricter because a template is used for years."""

_GOOD = Limits(score=0.8, size=40, sharpness=60, darkest=0.25, brightest=0.75, yaw=45, covered=0.0, inside=1.0)
"""Beyond these values, ``overall`` does not improve any more."""

_NO_SCORE = 0.3
"""At this score and below, ``overall`` is 0."""
_COVERED = 0.5
"""The share of ``overall`` that a covered face loses.

This and the exponents in ``overall`` were chosen for the error-versus-discard curve; see docs/models.md.
"""

_TELLING = Limits(
    score=0, size=10, sharpness=3.5, darkest=0.05, brightest=0.8, yaw=math.inf, covered=math.inf, inside=0
)
"""Outside these, one cannot tell whether something is covered."""
_WASHED_OUT = 0.85
_BLOCK = 8
_AROUND = 96
_FEW_BLOCKS = 32
"""Blocks are measured in this many pixels to each side of the face's centre, and in no region narrower than 32."""
_FLAT = 0.25
"""Grey levels added to both sides of the ratio, because it would be noise in a flat picture."""


def measure(
    chip: Pixels,
    points: Points,
    *,
    score: float,
    yaw: float,
    inside: Inside | None = None,
    blockiness: float | None = None,
    covering: Covering | None = None,
) -> Quality:
    """Measure a face.

    Args:
        chip: the aligned face, RGB [size, size, 3].
        points: its five landmarks [5, 2] (see Face.landmarks) in pixels of the picture.
        score: of the detector, 0 to 1.
        yaw: in degrees.
        inside: mask [size, size] of the chip's pixels in the picture; None: all are. Only these are measured, because
            the picture's border would look sharp.
        blockiness: see :func:`blockiness`; it does not count in ``overall``.
        covering: what is covered; left out if the face is too small, blurred, dark or bright to tell.
    """
    grey = cv2.cvtColor(chip, cv2.COLOR_RGB2GRAY)
    mask = None if inside is None else inside.astype(np.uint8)
    _, deviation = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S), mask=mask)
    size = float(np.linalg.norm(points[0:2].mean(0) - points[2:4].mean(0)))
    sharpness = float(deviation[0, 0]) ** 2
    brightness = float(cv2.mean(grey, mask=mask)[0]) / 255
    if refusal(Quality(score, size, sharpness, brightness, yaw, 0.0), _TELLING) is not None:
        covering = None
    covered, part = (covering.most, covering.part) if covering else (None, None)
    overall = math.prod(
        (
            _rising(score, _NO_SCORE, _GOOD.score),
            _rising(size, 0, _GOOD.size) ** 0.5,
            _rising(math.log1p(_sharpness(sharpness, brightness)), 0, math.log1p(_GOOD.sharpness)),
            _rising(brightness, 0, _GOOD.darkest) ** 0.5,
            _rising(-brightness, -1, -_GOOD.brightest) ** 1.5,
            _rising(-abs(yaw), -90, -_GOOD.yaw),
            1 - _COVERED * (covered or 0.0),
        )
    )
    return Quality(score, size, sharpness, brightness, yaw, overall, blockiness, covered, part)


def blockiness(pixels: Pixels, x: float, y: float) -> float | None:
    """How visible JPEG blocks are: the log ratio of grey-level changes at block borders to those within blocks.

    Strong compression gives each block of 8 × 8 pixels a level of its own. This detects only blocks on the grid of the
    picture's own encoder, not those of a picture that was cropped or scaled after its compression.

    Args:
        pixels: the picture as it was stored, RGB [height, width, 3], not scaled.
        x: horizontal centre of the face in pixels.
        y: vertical centre of the face in pixels.

    Returns:
        The blockiness around the face; None if there are too few pixels.

    Source: Wang, Sheikh and Bovik 2002, "No-reference perceptual quality assessment of JPEG compressed images", for the
    mean difference across borders as a measure.
    """
    top, bottom = _whole_blocks(y, pixels.shape[0])
    left, right = _whole_blocks(x, pixels.shape[1])
    if min(bottom - top, right - left) < _FEW_BLOCKS:
        return None
    grey = cv2.cvtColor(pixels[top:bottom, left:right], cv2.COLOR_RGB2GRAY).astype(np.int16)
    # The mean change from each row to the next, and from each column to the next; then by position in the block [8].
    steps = [np.abs(np.diff(one, axis=0)).mean(1) for one in (grey, grey.T)]
    by_place = sum(step[: len(step) // _BLOCK * _BLOCK].reshape(-1, _BLOCK).mean(0) for step in steps)
    border, within = by_place[-1], by_place[:-1].mean()
    return float(np.log((border + _FLAT) / (within + _FLAT)))


def _whole_blocks(middle: float, length: int) -> tuple[int, int]:
    """The range of pixels of the blocks around a position, and one pixel more to have a border at the end."""
    start = int(max(0.0, middle - _AROUND)) // _BLOCK * _BLOCK
    return start, min(length, start + 2 * _AROUND + 1)


def refusal(quality: Quality, limits: Limits, inside: float = 1.0) -> Reason | None:
    """The first limit that a face violates; None if it violates none. ``inside`` is its share in the picture."""
    checks = (
        (inside < limits.inside, Reason.CUT_OFF),
        (quality.score < limits.score, Reason.LOW_SCORE),
        (quality.size < limits.size, Reason.TOO_SMALL),
        (quality.brightness < limits.darkest, Reason.TOO_DARK),
        (quality.brightness > limits.brightest, Reason.TOO_BRIGHT),
        (
            _sharpness(quality.sharpness, quality.brightness) < limits.sharpness,
            # A washed-out face has no edges, so it would count as blurred.
            Reason.TOO_BRIGHT if quality.brightness > _WASHED_OUT else Reason.TOO_BLURRED,
        ),
        (abs(quality.yaw) > limits.yaw, Reason.TURNED_AWAY),
        ((quality.covered or 0.0) >= limits.covered, Reason.COVERED),
    )
    return next((reason for broken, reason in checks if broken), None)


def _sharpness(measured: float, brightness: float) -> float:
    """The sharpness scaled to a brightness of 0.5."""
    return measured * (0.5 / max(brightness, 0.02)) ** 2


def _rising(value: float, zero: float, one: float) -> float:
    """Interpolate linearly: 0 at ``zero`` and below, 1 at ``one`` and above."""
    return min(1.0, max(0.0, (value - zero) / (one - zero)))
