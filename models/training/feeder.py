"""Prepares the faces of the next steps in a thread while the current step is computed."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

import numpy as np
from numpy.typing import NDArray

from models.pictures.geometry import Pixels
from models.training.degrade import TRAINING, degrade
from models.training.plan import Material, TrainingPlan

_AHEAD = 4

Part = tuple[Pixels, NDArray[np.int32]]
"""Faces [batch, size, size, 3] of one replica, and the rows [batch] of the material that they were made from."""


class Feeder:
    """Draws faces and degrades most of them. What a replica gets depends only on the seed, the step and the replica."""

    def __init__(self, material: Material, plan: TrainingPlan) -> None:
        self._material, self._plan = material, plan
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="degrade")
        self._coming: dict[tuple[int, int], Future[Part]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def parts(self, step: int, first: int, count: int) -> list[Part]:
        """The faces of ``count`` replicas for a step, beginning with the replica ``first``."""
        for ahead in range(step, min(step + _AHEAD, self._plan.steps)):
            for replica in range(first, first + count):
                if (ahead, replica) not in self._coming:
                    self._coming[ahead, replica] = self._pool.submit(self._made, ahead, replica)
        return [self._coming.pop((step, replica)).result() for replica in range(first, first + count)]

    def _made(self, step: int, replica: int) -> Part:
        random = np.random.default_rng([self._plan.seed, 4, step, replica])
        rows = random.choice(len(self._material.chances), self._plan.batch, p=self._material.chances)
        stay = random.random(self._plan.batch) < self._plan.clean
        clean = self._material.chips[rows]
        faces = [
            chip if stays else degrade(chip, TRAINING, random) for chip, stays in zip(clean, stay.tolist(), strict=True)
        ]
        return np.stack(faces), rows.astype(np.int32)
