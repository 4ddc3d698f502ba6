"""What is lacking is known before a training, by the numbers that the gate has."""

from __future__ import annotations

import pytest

from models.training import minimum
from models.training.gate import Rules
from models.training.retrain import HELD_OUT, SIDES_SEED
from models.training.samples import Sample, split
from models.training.shortfall import shortfall
from streams.settings import Settings


def samples(people: int, each: int) -> list[Sample]:
    return [Sample(f"{n}-{face}", "anna", str(n), b"") for n in range(people) for face in range(each)]


def test_the_numbers_of_the_gate_and_of_the_schedule_fit_each_other() -> None:
    rules = Rules()
    assert (rules.people, rules.chips, rules.people_tested) == (10, 50, 4)
    assert Settings().retrain_min_people == rules.people + rules.people_tested == minimum.PEOPLE_IN_ALL


@pytest.mark.parametrize("people", range(0, 40, 3))
def test_what_is_lacking_is_what_the_gate_would_refuse(people: int) -> None:
    for each in (1, 6):
        learn, measure = split({one.person for one in samples(people, each)}, HELD_OUT, SIDES_SEED)
        accepted = len(learn) >= 10 and len(measure) >= 4 and each * len(learn) >= 50
        assert (shortfall(samples(people, each), HELD_OUT, SIDES_SEED) is None) is accepted


def test_it_says_how_many_there_are_and_how_many_it_takes() -> None:
    said = shortfall(samples(10, 2), HELD_OUT, SIDES_SEED) or ""
    assert "10 people have agreed, with 20 faces" in said
    assert "A version needs 10 with 50 faces, and 4, so 14 people at least" in said
    assert "more to train on" in said
