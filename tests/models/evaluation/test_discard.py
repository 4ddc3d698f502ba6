from __future__ import annotations

import numpy as np
import pytest

from models.evaluation.discard import SHARES, discard_curve

PEOPLE = np.repeat(np.arange(10), 10)
FIRST, SECOND = np.triu_indices(100, 1)
SAME = PEOPLE[FIRST] == PEOPLE[SECOND]
POOR = np.arange(0, 100, 10)
"""One photograph of each person is so poor that it is like no other."""
DISTANCES = np.where(SAME, np.where(np.isin(FIRST, POOR) | np.isin(SECOND, POOR), 2.0, 0.2), 1.0)


def quality(poor: float) -> np.ndarray:
    found = np.full(100, 0.5)
    found[POOR] = poor
    return found


def test_a_quality_that_knows_the_errors_takes_them_away() -> None:
    curve = discard_curve(DISTANCES, FIRST, SECOND, SAME, quality(0.1))
    assert curve is not None
    assert curve.fnmr[0] == pytest.approx(0.2)
    assert curve.fnmr[5] == pytest.approx(45 / 405)
    assert not any(curve.fnmr[10:])
    assert curve.gain == pytest.approx(1.0, abs=0.01)


def test_a_quality_that_knows_nothing_gains_nothing() -> None:
    gains = []
    for seed in range(20):
        curve = discard_curve(DISTANCES, FIRST, SECOND, SAME, np.random.default_rng(seed).random(100))
        assert curve is not None
        assert curve.gain is not None
        gains.append(curve.gain)
    assert np.mean(gains) == pytest.approx(0.0, abs=0.1)


def test_a_misleading_quality_loses() -> None:
    curve = discard_curve(DISTANCES, FIRST, SECOND, SAME, quality(0.9))
    assert curve is not None
    assert curve.fnmr[30] > curve.fnmr[0]
    assert curve.gain is not None
    assert curve.gain < 0


def test_without_errors_there_is_nothing_to_gain() -> None:
    curve = discard_curve(np.where(SAME, 0.1, 1.0), FIRST, SECOND, SAME, quality(0.5))
    assert curve is not None
    assert (curve.fnmr, curve.gain) == ((0.0,) * len(SHARES), None)
    assert discard_curve(DISTANCES[SAME], FIRST[SAME], SECOND[SAME], SAME[SAME], quality(0.5)) is None
    assert discard_curve(DISTANCES[~SAME], FIRST[~SAME], SECOND[~SAME], SAME[~SAME], quality(0.5)) is None


def test_photographs_that_were_not_compared_do_not_count() -> None:
    alone = np.concatenate([quality(0.1), np.full(50, np.nan)])
    curve = discard_curve(DISTANCES, FIRST, SECOND, SAME, alone)
    assert curve == discard_curve(DISTANCES, FIRST, SECOND, SAME, quality(0.1))
