"""What is lacking is known before a training, by the numbers that the gate has."""

from __future__ import annotations

import pytest

from models.training.gate import Rules
from models.training.samples import HELD_OUT, SIDES_SEED, Sample, split
from models.training.sides import sides_of


def samples(people: int, each: int) -> list[Sample]:
    return [Sample(f"{n}-{face}", "anna", str(n), b"") for n in range(people) for face in range(each)]


@pytest.mark.parametrize("people", range(0, 40, 3))
@pytest.mark.parametrize("each", [1, 6])
def test_what_is_lacking_is_what_the_gate_would_refuse(people: int, each: int) -> None:
    rules, made = Rules(), samples(people, each)
    learn, measure = split({one.person for one in made}, HELD_OUT, SIDES_SEED)
    accepted = len(learn) >= rules.people and len(measure) >= rules.people_tested and each * len(learn) >= rules.chips
    assert (sides_of(made).shortfall() is None) is accepted
    assert not accepted or people >= rules.people_in_all


def test_it_says_how_many_there_are_and_how_many_it_takes() -> None:
    said = sides_of(samples(10, 2)).shortfall() or ""
    assert said.startswith("too few people to train on: there are 10, with 20 faces")
    assert "needs 10 with 50 faces and 4: lacking are" in said
    assert "more to train on" in said


def test_a_face_that_came_twice_is_one() -> None:
    assert sides_of(samples(3, 2) + samples(3, 2)).faces == 6
