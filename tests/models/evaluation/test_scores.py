from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation.scores import accuracy, roc_auc, tar_at_far

DISTANCES = st.lists(st.integers(0, 10).map(lambda n: n / 10) | st.just(np.inf), min_size=1, max_size=30).map(np.array)
NONE = np.array([])


@given(DISTANCES, DISTANCES)
def test_roc_auc_is_the_share_of_pairs_in_order(genuine: np.ndarray, impostor: np.ndarray) -> None:
    shares = [(g < i) + (g == i) / 2 for g in genuine for i in impostor]
    assert roc_auc(genuine, impostor) == pytest.approx(np.mean(shares))


@given(DISTANCES, DISTANCES, st.sampled_from([0.5, 0.1, 0.01]))
def test_tar_at_far_is_the_best_that_a_threshold_can_do(genuine: np.ndarray, impostor: np.ndarray, far: float) -> None:
    allowed = [t for t in {*genuine, *impostor} if (impostor < t).mean() <= far]
    assert tar_at_far(genuine, impostor, far) == max((genuine < t).mean() for t in allowed)


@given(DISTANCES, DISTANCES, st.floats(0, 1.2))
def test_accuracy_counts_every_pair_once(genuine: np.ndarray, impostor: np.ndarray, threshold: float) -> None:
    right = [distance < threshold for distance in genuine] + [distance >= threshold for distance in impostor]
    assert accuracy(genuine, impostor, threshold) == pytest.approx(np.mean(right))


def test_without_pairs_nothing_is_claimed() -> None:
    some = np.array([0.5])
    assert roc_auc(NONE, some) is None
    assert roc_auc(some, NONE) is None
    assert tar_at_far(some, NONE, 0.01) is None
    assert accuracy(NONE, NONE, 0.6) is None
