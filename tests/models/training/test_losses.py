from __future__ import annotations

import numpy as np
import pytest

from models.training import losses

RANDOM = np.random.default_rng(0)
VECTORS, TEMPLATES = (RANDOM.standard_normal((count, 8)).astype(np.float32) for count in (5, 7))
GENUINE = np.array([[1, 0, 0]], np.float32)


def found(loss: object) -> np.ndarray:
    return np.asarray(loss, np.float32)


def test_distances_are_euclidean() -> None:
    wanted = np.linalg.norm(VECTORS[:, None] - TEMPLATES[None], axis=2)
    assert found(losses.distances(VECTORS, TEMPLATES)) == pytest.approx(wanted, rel=1e-4)
    assert found(losses.distillation(VECTORS, TEMPLATES[:5])) == pytest.approx(np.diag(wanted) ** 2, rel=1e-4)


@pytest.mark.parametrize(
    ("gaps", "worse"),
    [
        ([0.2, 0.9, 0.9], [0.7, 0.9, 0.9]),
        ([0.2, 0.9, 0.9], [0.2, 0.5, 0.9]),
        ([0.7, 0.9, 0.9], [0.2, 0.5, 0.9]),
    ],
    ids=["a genuine pair is missed", "a stranger is accepted", "the stranger weighs more"],
)
def test_wrong_decisions_cost(gaps: list[float], worse: list[float]) -> None:
    def loss(of: list[float]) -> float:
        return found(losses.pairwise(np.array([of], np.float32), GENUINE, 1 - GENUINE, 0.6)).item()

    assert loss(gaps) < loss(worse) - 0.5


def test_without_pairs_there_is_no_loss() -> None:
    none = np.zeros((1, 3), np.float32)
    assert found(losses.pairwise(none, none, none, 0.6)).item() == 0


def test_nobody_is_learned_from_a_mixture_and_the_margin_is_added() -> None:
    centres = np.eye(3, 8, dtype=np.float32)
    near = np.tile(centres[0] + 0.3 * centres[1], (3, 1))
    right, wrong, mixture = found(losses.arc_face(near, centres, np.array([0, 1, -1])))
    assert 0 < right < wrong
    assert mixture == 0
    assert found(losses.arc_face(near, centres, np.array([0, 1, -1]), margin=0.0))[0] < right
