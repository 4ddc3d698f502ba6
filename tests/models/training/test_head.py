from __future__ import annotations

import keras  # type: ignore[import-untyped]
import numpy as np

from models.evaluation.scores import roc_auc
from models.training import head
from models.training.network import is_even
from models.training.samples import NOBODY

PEOPLE, VIEWS, DIMENSIONS = 40, 6, 16
LEARNED = 30


def vectors() -> tuple[np.ndarray, np.ndarray]:
    """People differ in half of the dimensions; the other half is noise that a head can learn to leave out."""
    random = np.random.default_rng(0)
    centres = np.zeros((PEOPLE, DIMENSIONS))
    centres[:, : DIMENSIONS // 2] = random.standard_normal((PEOPLE, DIMENSIONS // 2)) * 0.15
    labels = np.repeat(np.arange(PEOPLE, dtype=np.int32), VIEWS)
    noise = random.standard_normal((len(labels), DIMENSIONS)) * 0.02
    noise[:, DIMENSIONS // 2 :] *= 8
    return (centres[labels] + noise).astype(np.float32), labels


def auc(found: np.ndarray, labels: np.ndarray) -> float:
    one, other = np.triu_indices(len(labels), 1)
    gaps = np.linalg.norm(found[one] - found[other], axis=1).astype(np.float64)
    same = labels[one] == labels[other]
    return roc_auc(gaps[same], gaps[~same]) or 0


def test_an_untrained_head_changes_nothing() -> None:
    given, _ = vectors()
    assert np.array_equal(head.project(head.build(DIMENSIONS), given), given)


def test_what_is_learned_from_some_helps_others() -> None:
    given, labels = vectors()
    known, others = labels < LEARNED, labels >= LEARNED
    learned = head.normalising(given[known], given[known][None], labels[known], 0.1, evens=False)
    before = auc(given[others], labels[others])
    after = auc(head.project(learned, given[others]), labels[others])
    assert before < 0.9
    assert after > before + 0.03


def test_without_a_difference_between_directions_nothing_changes() -> None:
    given, labels = vectors()
    learned = head.normalising(given, given[None], labels, 1.0, evens=False)
    assert np.allclose(head.project(learned, given), given, atol=1e-5)


def test_vectors_are_evened_out_unless_their_network_does_that_already() -> None:
    given, labels = vectors()
    given += np.linspace(0, 1, len(given), dtype=np.float32)[:, None] ** 4
    spreads = [
        np.linalg.norm(made - made.mean(0), axis=1).std()
        for evens in (False, True)
        for made in [head.project(head.normalising(given, given[None], labels, 1.0, evens=evens), given)]
    ]
    assert spreads[1] < 0.8 * spreads[0]
    evened = head.normalising(given, given[None], labels, 1.0, evens=True)
    outer = keras.Sequential([keras.Input((DIMENSIONS,)), evened])
    assert is_even(outer)
    assert not is_even(head.build(DIMENSIONS))


def test_a_corrected_face_moves_away_from_whom_it_was_taken_for_alone() -> None:
    given, labels = vectors()
    taken_for, other = given[labels == 3], given[labels == 4]
    face = taken_for[:1] + 0.01
    everyone = np.concatenate([given, face]), np.append(labels, np.int32(NOBODY))
    never = np.append(np.full_like(labels, NOBODY), np.int32(3))
    plan = head.HeadPlan(steps=200, learning_rate=3e-3)

    def gaps(learned: keras.Model) -> list[float]:
        mine = head.project(learned, face)
        return [float(np.linalg.norm(head.project(learned, one) - mine, axis=1).mean()) for one in (taken_for, other)]

    before = gaps(head.build(DIMENSIONS))
    after = gaps(learned := head.correcting(*everyone, 0.8, plan, never))
    assert after[0] > before[0] + 0.1
    assert abs(after[1] - before[1]) < 0.2
    again = head.correcting(*everyone, 0.8, plan, never)
    assert np.allclose(head.project(again, given), head.project(learned, given), atol=1e-4)
