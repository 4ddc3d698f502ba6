"""The clean faces that a network learns from: every chip of the training set, and mixtures of them.

Distillation needs no names: any face of which the reference makes a vector teaches. So few people are stretched by
faces that nobody has: two chips, aligned alike, laid over each other (mixup, Zhang et al. 2017, arXiv 1710.09412), with
the reference's own vector of the mixture as what is right.
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
"""Share of mixtures of two chips among the generated faces."""

_GREY = 0.2


@dataclass(frozen=True, slots=True)
class Bases:
    """Clean faces [n, size, size, 3] and the two people in each (one and the same in a face that is not mixed), [n].

    ``never`` is who a face is not [n], where somebody has said that; such a face may be nobody's that is known.
    """

    chips: Pixels
    first: NDArray[np.int32]
    second: NDArray[np.int32]
    never: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.first)

    @property
    def chances(self) -> NDArray[np.float64]:
        """The weight of each face in draws [n]: every person counts the same, together with corrected faces."""
        hard = self.never != NOBODY
        met = np.bincount(np.concatenate([self.first[~hard], self.second[~hard]]))
        chances = np.empty(len(self))
        chances[~hard] = 1 / met[self.first[~hard]] + 1 / met[self.second[~hard]]
        chances[hard] = 1 / np.bincount(self.never[hard])[self.never[hard]]
        return np.asarray(chances / chances.sum(), np.float64)


def make(known: TrainingSet, count: int, seed: int) -> Bases:
    """The chips of a training set, others made of them until there are ``count``, and the corrected faces.

    Chips are never left out, nor corrected faces: there may be more than ``count``.
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
    """A random variant that is still a clean face: mirrored, shifted a little, brighter or darker, or grey."""
    if random.random() < 0.5:
        chip = np.ascontiguousarray(chip[:, ::-1])
    chip = shifted(chip, 0.03, random)
    gamma = random.uniform(0.7, 1.4)
    chip = np.asarray(np.power(np.arange(256) / 255, gamma) * 255 + 0.5, np.uint8)[chip]
    if random.random() < _GREY:
        chip = np.asarray(cv2.cvtColor(cv2.cvtColor(chip, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)
    return chip
