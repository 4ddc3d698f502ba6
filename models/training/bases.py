"""The clean faces that a network is trained on: every chip of the training set, and mixtures of them.

Distillation needs no names: it can use any face that the old version can embed. So a small training set is extended by
synthetic faces: two aligned chips laid over each other (mixup, Zhang et al. 2017, arXiv 1710.09412), whose target is
the old version's own vector of the mixture.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from models.pictures.geometry import Pixels
from models.training.degrade import shifted
from models.training.samples import NOBODY, TrainingSet

_MIXED = 0.6
"""Share of the generated faces that are mixtures of two chips."""

_GREY = 0.2


@dataclass(frozen=True, slots=True)
class Bases:
    """Clean faces.

    Attributes:
        chips: [n, size, size, 3].
        first: the number of the first person in each face [n]; NOBODY if unknown.
        second: the number of the second person [n], the same as the first in a face that is not mixed.
        never: the number of the person that each face is not, according to feedback [n]; NOBODY without feedback.
    """

    chips: Pixels
    first: NDArray[np.int32]
    second: NDArray[np.int32]
    never: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.first)

    @property
    def chances(self) -> NDArray[np.float64]:
        """The probability [n] of drawing each face: all people have the same weight, and so do their corrections."""
        hard = self.never != NOBODY
        met = np.bincount(np.concatenate([self.first[~hard], self.second[~hard]]))
        chances = np.empty(len(self))
        chances[~hard] = 1 / met[self.first[~hard]] + 1 / met[self.second[~hard]]
        chances[hard] = 1 / np.bincount(self.never[hard])[self.never[hard]]
        return np.asarray(chances / chances.sum(), np.float64)


def make(known: TrainingSet, count: int, seed: int) -> Bases:
    """The chips of a training set, generated faces until there are ``count``, and the corrected faces.

    All chips and corrected faces are included, so there may be more than ``count`` faces.
    """
    random = np.random.default_rng([seed, 1])
    made, hard = max(0, count - len(known)), known.corrected
    size = known.chips.shape[1]
    chips = np.empty((len(known) + made, size, size, 3), np.uint8)
    chips[: len(known)] = known.chips
    one = random.integers(0, len(known), made)
    other = np.where(random.random(made) < _MIXED, random.integers(0, len(known), made), one)
    for row, (a, b) in enumerate(zip(one.tolist(), other.tolist(), strict=True), len(known)):
        chips[row] = _varied(_mixed(known.chips[a], known.chips[b], random) if a != b else known.chips[a], random)
    return Bases(
        np.concatenate([chips, hard.chips]),
        np.concatenate([known.labels, known.labels[one], hard.labels]).astype(np.int32),
        np.concatenate([known.labels, known.labels[other], hard.labels]).astype(np.int32),
        np.concatenate([np.full(len(chips), NOBODY), hard.not_labels]).astype(np.int32),
    )


def _mixed(one: Pixels, other: Pixels, random: Generator) -> Pixels:
    part = random.uniform(0.3, 0.7)
    return np.asarray(cv2.addWeighted(one, part, other, 1 - part, 0), np.uint8)


def _varied(chip: Pixels, random: Generator) -> Pixels:
    """A random variant that is still a clean face: mirrored, slightly shifted, brighter, darker or grey."""
    if random.random() < 0.5:
        chip = np.ascontiguousarray(chip[:, ::-1])
    chip = shifted(chip, 0.03, random)
    gamma = random.uniform(0.7, 1.4)
    chip = np.asarray(np.power(np.arange(256) / 255, gamma) * 255 + 0.5, np.uint8)[chip]
    if random.random() < _GREY:
        chip = np.asarray(cv2.cvtColor(cv2.cvtColor(chip, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)
    return chip
