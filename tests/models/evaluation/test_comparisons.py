from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.evaluation.comparisons import Comparisons, exact_at_extremes
from models.evaluation.scores import tar_at_far


def comparisons(seed: int, people: int = 6, noise: float = 0.5) -> Comparisons:
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(people, dtype=np.int32), 4)
    centres = np.random.default_rng(1).standard_normal((people, 3))
    vectors = (centres[labels] + noise * random.standard_normal((len(labels), 3))).astype(np.float32)
    return Comparisons.of(vectors, vectors, labels)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([1e-3, 1e-2, 0.05, 0.3]))
def test_the_rate_is_that_of_the_scores(seed: int, far: float) -> None:
    made = comparisons(seed)
    same = made.first == made.second
    assert made.tar(far) == pytest.approx(tar_at_far(made.distances[same], made.distances[~same], far))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_a_person_counted_nought_times_is_not_there(seed: int) -> None:
    made = comparisons(seed)
    without = (made.first != 0) & (made.second != 0)
    part = Comparisons(made.distances[without], made.first[without], made.second[without])
    times = np.array([0, 1, 1, 1, 1, 1], np.float64)
    assert made.tar(0.1, times) == pytest.approx(part.tar(0.1))


def test_joined_people_stay_apart_and_repeated_ones_do_not() -> None:
    made = comparisons(0)
    assert set(Comparisons.joined([made, made]).first) == set(range(12))
    assert set(Comparisons.repeated([made, made]).first) == set(range(6))
    assert Comparisons.repeated([made, made]).tar() == made.tar()


@pytest.mark.parametrize(
    ("rate", "people", "wanted"),
    [
        (0.0, 10, (0, 0.3085)),  # the table of Clopper and Pearson
        (1.0, 10, (0.6915, 1)),
        (0.0, 1, (0, 0.975)),
        (0.2, 10, (0.1, 0.3)),
    ],
)
def test_what_never_failed_may_yet_fail(rate: float, people: int, wanted: tuple[float, float]) -> None:
    found = exact_at_extremes((rate, rate) if rate in (0, 1) else (0.1, 0.3), rate, people)
    assert found == pytest.approx(wanted, abs=1e-4)


def test_people_of_whom_two_pictures_were_compared() -> None:
    pairs = [np.array(one, np.int32) for one in ([3, 3, 3, 5, 1], [3, 3, 4, 5, 2])]
    assert Comparisons.among(np.arange(5.0), *pairs).people_twice == 2
