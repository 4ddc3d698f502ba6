from __future__ import annotations

import numpy as np
import pytest

from models.training.feeder import Feeder
from models.training.plan import Material, TrainingPlan
from models.training.samples import TrainingSet


@pytest.fixture
def material(people: TrainingSet) -> Material:
    count = len(people)
    none = people.labels[:0]
    vectors, chances = np.zeros((count, 128), np.float32), np.full(count, 1 / count)
    return Material(people.chips, vectors, people.labels, people.labels, none - 1, chances, people.chips[:0], none)


def test_a_step_is_the_same_however_it_is_come_to(material: Material) -> None:
    plan = TrainingPlan(batch=3, steps=8)
    with Feeder(material, plan) as feeder:
        made = [feeder.parts(step, 0, 2) for step in range(3)]
    with Feeder(material, plan) as other:
        [[faces, rows]] = other.parts(2, 1, 1)
    assert np.array_equal(faces, made[2][1][0])
    assert np.array_equal(rows, made[2][1][1])
    assert len({part[0].tobytes() for parts in made for part in parts}) == 6, "no two replicas or steps get the same"


@pytest.mark.parametrize("clean", [0.0, 0.5, 1.0])
def test_a_share_stays_clean(material: Material, clean: float) -> None:
    with Feeder(material, TrainingPlan(batch=40, clean=clean)) as feeder:
        [[faces, rows]] = feeder.parts(0, 0, 1)
    same = (faces == material.chips[rows]).all(axis=(1, 2, 3)).mean()
    assert same == pytest.approx(clean, abs=0.2 if clean == 0.5 else 0)
