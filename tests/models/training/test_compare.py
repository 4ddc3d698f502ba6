from __future__ import annotations

import numpy as np
import pytest

from models.embedder.model import Model, Vectors
from models.pictures.geometry import Pixels
from models.training.compare import Compared
from models.training.samples import TrainingSet


class Turned:
    """A version whose vectors are the reference's, turned: as good among themselves, of no use against the old ones."""

    def __init__(self, reference: Model) -> None:
        self._reference = reference
        self._turn, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((128, 128)).astype(np.float32))

    def embed(self, chips: Pixels) -> Vectors:
        return np.asarray(self._reference.embed(chips) @ self._turn, np.float32)


def test_a_version_is_compared_with_itself_and_with_templates_of_the_old_one(
    reference: Model, people: TrainingSet
) -> None:
    few = people.of_people(people.people[:8])
    compared = Compared.of(reference, Turned(reference), few, 0)  # type: ignore[arg-type]
    for old, new in (compared.clean, compared.degraded):
        assert new.distances == pytest.approx(old.distances, abs=1e-4)
    old, new = compared.compatible
    assert old.tar() == compared.degraded[0].tar()
    assert new.tar() < old.tar() / 2
    assert len(old.distances) == 2 * 24 * 23, "two views of each of 24 faces, against the 23 others"
