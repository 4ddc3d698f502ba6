"""Degrades faces as poor cameras do: few pixels, blur, motion, little light, noise, and strong compression.

All randomness comes from the given generator, so the same seed gives the same pictures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from models.analysis import chips
from models.pictures.geometry import Pixels

Range = tuple[float, float]
_Light = NDArray[np.float32]

FACE_OF_CHIP = 1 / 1.5
"""Width of the mean face as a share of the chip's width, with dlib's padding of 0.25."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """Ranges of uniform distributions. Lengths are pixels of the small picture, before it is enlarged to a chip."""

    face: Range
    """Width of the mean face in pixels; its logarithm is uniform."""
    blur: Range
    """Standard deviation of a Gaussian out-of-focus blur."""
    motion: Range
    """Length of a straight movement during the exposure."""
    light: Range
    """Share of the light that reaches the sensor."""
    gain: Range
    """Share of the missing light that the camera's gain compensates for; it amplifies the noise as well."""
    gamma: Range
    noise: Range
    """Standard deviation of the sensor's noise at full light, in grey levels (0 to 255)."""
    jpeg: Range
    """JPEG quality, 1 to 100."""
    occluded: float = 0.0
    """Probability that a part of the face is covered."""
    shift: float = 0.0
    """Largest alignment error, as a share of the chip's size."""


POOR = Conditions(
    face=(24, 48),
    blur=(0.3, 1.2),
    motion=(0, 4),
    light=(0.2, 0.9),
    gain=(0.2, 0.8),
    gamma=(0.8, 1.4),
    noise=(2, 8),
    jpeg=(30, 75),
)
"""The degradation for measurements: faces are small, blurred, dark, noisy and compressed at once."""

TRAINING = Conditions(
    face=(16, 60),
    blur=(0, 1.5),
    motion=(0, 5),
    light=(0.15, 1.0),
    gain=(0.1, 0.9),
    gamma=(0.7, 1.5),
    noise=(0, 10),
    jpeg=(25, 90),
    occluded=0.05,
    shift=0.01,
)
"""The degradation for training, with wider ranges than that for measurements."""


def degrade(chip: Pixels, conditions: Conditions, random: Generator) -> Pixels:
    """A chip [size, size, 3] as a poor camera would have taken it, enlarged to its original size."""
    size = chip.shape[0]
    if random.random() < conditions.occluded:
        chip = occlude(chip, random)
    if conditions.shift:
        chip = shifted(chip, conditions.shift, random)
    face = math.exp(random.uniform(*np.log(conditions.face)))
    small = (
        cv2.resize(chip, (side,) * 2, interpolation=cv2.INTER_AREA)
        if (side := round(face / FACE_OF_CHIP)) < size
        else chip
    )
    light: _Light = np.asarray(np.asarray(small, np.float32) / 255, np.float32)
    if (sigma := random.uniform(*conditions.blur)) > 0.05:
        light = np.asarray(cv2.GaussianBlur(light, (0, 0), sigma), np.float32)
    light = _moved(light, random.uniform(*conditions.motion), random.uniform(0, math.pi))
    gamma, share = random.uniform(*conditions.gamma), random.uniform(*conditions.light)
    light = np.asarray(np.power(np.clip(light, 0, 1), gamma) * share, np.float32)
    noise = random.uniform(*conditions.noise) / 255
    # At full light, half of the noise is photon noise and half is electronic noise.
    deviation = np.float32(noise) * np.sqrt(0.5 + 0.5 * light)
    light = light + deviation * random.standard_normal(light.shape, np.float32)
    light = _brightened(light, random.uniform(*conditions.gain))
    sensed = np.asarray(np.clip(light * 255 + 0.5, 0, 255), np.uint8)
    stored = compressed(sensed, round(random.uniform(*conditions.jpeg)))
    if stored.shape[0] == size:
        return stored
    return np.asarray(cv2.resize(stored, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)


def occlude(chip: Pixels, random: Generator) -> Pixels:
    """Cover a rectangle with one colour, as a mask, hand or pole would; each side is 10 to 40 % of the chip's."""
    size = chip.shape[0]
    height, width = (random.uniform(0.1, 0.4, 2) * size).astype(int).tolist()
    top, left = int(random.integers(0, size - height)), int(random.integers(0, size - width))
    covered = chip.copy()
    covered[top : top + height, left : left + width] = random.integers(0, 256, 3)
    return covered


def shifted(chip: Pixels, most: float, random: Generator) -> Pixels:
    """Turn, scale and shift a chip a little, as inaccurate landmarks in a poor picture would."""
    size = chip.shape[0]
    degrees, scale = random.uniform(-most, most) * 180 / math.pi, 1 + random.uniform(-most, most) * 2
    moved = cv2.getRotationMatrix2D((size / 2, size / 2), degrees, scale)
    moved[:, 2] += random.uniform(-most, most, 2) * size
    return np.asarray(cv2.warpAffine(chip, moved, (size, size), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def compressed(picture: Pixels, jpeg_quality: int) -> Pixels:
    """An RGB picture after JPEG compression."""
    decoded = chips.decode(chips.encode(picture, jpeg_quality))
    assert decoded is not None
    return decoded


def _moved(light: _Light, length: float, angle: float) -> _Light:
    if length < 1:
        return light
    side = 2 * math.ceil(length / 2) + 1
    kernel = np.zeros((side, side), np.float32)
    middle = side // 2
    for at in np.linspace(-length / 2, length / 2, 4 * side):
        kernel[round(middle + at * math.sin(angle)), round(middle + at * math.cos(angle))] += 1
    return np.asarray(cv2.filter2D(light, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE), np.float32)


def _brightened(light: _Light, part: float) -> _Light:
    """Apply automatic gain, towards a mean of 0.45."""
    wanted = 0.45 / max(float(light.mean()), 0.01)
    return np.asarray(light * np.float32(max(1.0, wanted) ** part), np.float32)
