from __future__ import annotations

from models.training.measure import Change
from tests.models.evaluation.test_comparisons import comparisons


def test_a_change_for_the_better_is_seen_and_none_is_none() -> None:
    poor, good = comparisons(0, noise=1.5), comparisons(0, noise=0.1)
    better = Change.of(poor, good)
    assert better.after > better.before
    assert better.interval[0] <= better.after <= better.interval[1]
    assert better.gain_interval[0] > 0
    assert Change.of(poor, poor).gain_interval == (0, 0)
    assert Change.of(poor, good) == better


def test_fewer_people_are_less_sure() -> None:
    def width(people: int) -> float:
        low, high = Change.of(comparisons(0, people, 1), comparisons(0, people, 1)).interval
        return high - low

    assert width(40) < width(5)
