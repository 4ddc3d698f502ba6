"""Validation on held-out people during a training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.embedder.model import Vectors
from models.evaluation.comparisons import FAR, Comparisons
from models.training import losses


@dataclass(frozen=True, slots=True)
class ValidationResult:
    """The verification accuracy on held-out people."""

    loss: float
    """The pairwise loss at the distance that 1 % of the strangers pass. It decides about early stopping: it is smooth.

    At a fixed distance it would rise whenever all faces come a little nearer to each other, which costs no TAR.
    """
    tar: float
    """TAR at FAR 1e-2, the goal of training."""

    @classmethod
    def of(cls, vectors: Vectors, people: NDArray[np.int32]) -> ValidationResult:
        """Compare every degraded face with every other clean picture.

        Args:
            vectors: vectors [(1 + views) · v, d] of the clean faces, then of their degraded views, view by view.
            people: the number of the person in each clean face [v].
        """
        templates, *views = np.split(vectors, len(vectors) // len(people))
        compared = Comparisons.repeated([Comparisons.of(view, templates, people) for view in views])
        threshold = compared.distance_at(FAR)
        same, other = people[:, None] == people, ~np.eye(len(people), dtype=bool)
        genuine, strangers = (same & other).astype(np.float32), (~same).astype(np.float32)
        found = [losses.pairwise(losses.distances(view, templates), genuine, strangers, threshold) for view in views]
        return cls(float(np.mean(found)), compared.tar())
