from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.training import bases
from models.training.samples import NOBODY, Corrected, TrainingSet


def test_every_chip_is_there_and_others_are_made_of_them(people: TrainingSet) -> None:
    made = bases.make(people, 300, 0)
    assert len(made) == 300
    assert np.array_equal(made.chips[: len(people)], people.chips)
    assert np.array_equal(made.first[: len(people)], people.labels)
    mixed = made.first != made.second
    assert not mixed[: len(people)].any()
    assert 0.4 < mixed[len(people) :].mean() < 0.7
    assert len({chip.tobytes() for chip in made.chips}) == 300
    assert np.array_equal(made.chips, bases.make(people, 300, 0).chips)
    assert not np.array_equal(made.chips, bases.make(people, 300, 1).chips)


def test_no_chip_is_left_out_where_few_are_asked_for(people: TrainingSet) -> None:
    assert np.array_equal(bases.make(people, 10, 0).chips, people.chips)


def test_who_has_many_pictures_is_met_no_more_often(people: TrainingSet) -> None:
    labels = np.where(people.labels < 10, 0, people.labels - 9).astype(np.int32)
    made = bases.make(replace(people, labels=labels, people=people.people[9:]), 0, 0)
    met = [made.chances[made.first == person].sum() for person in range(11)]
    assert met == pytest.approx([1 / 11] * 11)


def test_corrected_faces_are_never_mixed_and_met_as_often_as_whom_they_were_taken_for(people: TrainingSet) -> None:
    hard = Corrected(people.chips[:3], np.array([NOBODY, NOBODY, 7], np.int32), np.array([0, 0, 5], np.int32))
    made = bases.make(replace(people, corrected=hard), 300, 0)
    assert len(made) == 303
    assert made.never[:-3].tolist() == [NOBODY] * 300
    assert np.array_equal(made.chips[-3:], hard.chips)
    assert made.first[-3:].tolist() == made.second[-3:].tolist() == hard.labels.tolist()
    assert made.never[-3:].tolist() == [0, 0, 5]
    assert made.chances[-3:].tolist() == pytest.approx([0.5 / 22, 0.5 / 22, 1 / 22])
