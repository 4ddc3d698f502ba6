from __future__ import annotations

import numpy as np
import pytest

from models.training.scoring import is_seen, scored
from tests.models.training.test_measure import comparisons


def test_rates_have_intervals_and_what_too_few_pairs_show_is_marked() -> None:
    compared = comparisons(0, people=30)
    scores = scored(compared, 0)
    assert (scores.genuine_pairs, scores.impostor_pairs) == (30 * 4 * 3, 30 * 29 * 16)
    assert {name: rate.extrapolated for name, rate in scores.tar_at_far.items()} == {
        "1e-2": False,
        "1e-3": False,
        "1e-4": True,
    }
    for name, rate in scores.tar_at_far.items():
        assert rate.tar == compared.tar(float(name))
        assert rate.interval[0] <= rate.tar <= rate.interval[1]
    rates = [rate.tar for rate in scores.tar_at_far.values()]
    assert rates == sorted(rates, reverse=True)


def test_fewer_people_are_less_sure() -> None:
    def width(people: int) -> float:
        low, high = scored(comparisons(0, people, 1), 0).tar_at_far["1e-2"].interval
        return high - low

    assert width(40) < width(8)


def test_the_curve_rises_and_the_distances_are_all_there() -> None:
    compared = comparisons(0)
    scores = scored(compared, 0)
    fars, tars = zip(*scores.roc, strict=True)
    assert fars[0] == pytest.approx(1 / scores.impostor_pairs, rel=1e-3)
    assert fars[-1] == 1
    assert list(tars) == sorted(tars)
    ends, genuine, impostor = (np.array(column) for column in zip(*scores.distances, strict=True))
    assert ends[-1] == pytest.approx(compared.distances[-1], rel=1e-3)
    assert (genuine.sum(), impostor.sum()) == (pytest.approx(1, abs=0.01), pytest.approx(1, abs=0.01))
    assert (genuine * ends).sum() < (impostor * ends).sum()


def test_one_person_a_draw_shows_nothing_and_is_left_out() -> None:
    # Of two people every other draw has but one of them, and so no strangers.
    two = comparisons(0, people=2)
    assert not np.isnan(scored(two, 0).tar_at_far["1e-2"].interval).any()


@pytest.mark.parametrize(("far", "pairs", "seen"), [(1e-2, 1000, True), (1e-2, 999, False), (1e-3, 10_000, True)])
def test_ten_false_accepts_show_a_rate(far: float, pairs: int, seen: bool) -> None:
    assert is_seen(far, pairs) == seen
