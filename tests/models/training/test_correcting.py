from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.embedder.model import Model
from models.evaluation.comparisons import Comparisons
from models.training import correcting
from models.training.plan import TrainingPlan
from models.training.samples import TrainingSet, UnusableTrainingSet


def test_everybody_has_a_picture_in_every_part_and_none_is_in_two(small_people: TrainingSet) -> None:
    parts = correcting._dealt(small_people, 3)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(small_people)))
    assert all(set(small_people.labels[part].tolist()) == set(range(20)) for part in parts)


def test_who_has_too_few_pictures_is_left_out(small_people: TrainingSet) -> None:
    few = small_people.taken(np.arange(1, len(small_people)))
    assert correcting._seen_often(few) == list(few.people[1:])
    with pytest.raises(UnusableTrainingSet, match="0 people have 3 pictures or more"):
        correcting._seen_often(small_people.taken(np.flatnonzero(np.arange(len(small_people)) % 3)))


def test_who_was_corrected_is_measured_on_other_pictures(small: Path, small_people: TrainingSet) -> None:
    plan = TrainingPlan(steps=2, batch=2, bases=0, warm_up=1, validate_every=2)
    before, without, gained = correcting.measure(small_people, plan=plan, old_folder=small)
    assert (list(before.tars), list(without.tars), list(gained.tars)) == ([], ["without"], ["without", "corrected"])
    assert 0 < gained.pairs <= gained.corrections
    confused = gained.confused
    assert confused is not None and gained.degraded is not None
    assert confused.interval[0] <= confused.corrected - confused.without <= confused.interval[1]
    assert 0 < gained.before <= 1


def test_the_pairs_that_were_corrected_are_counted_alone() -> None:
    def compared(*near: tuple[int, int]) -> Comparisons:
        """Everybody with everybody else, far apart but for these."""
        first, second = (side.ravel().astype(np.int32) for side in np.indices((20, 20)))
        gaps = np.array([0.1 if pair in near else 1.0 for pair in zip(first.tolist(), second.tolist(), strict=True)])
        return Comparisons.among(np.where(first == second, 0.2, gaps), first, second)

    before, after = compared((0, 1), (2, 3), (4, 5)), compared((2, 3), (4, 5), (6, 7))
    confused = correcting._confused([before, before, after], {(0, 1), (2, 3)}, seed=0)
    assert (confused.before, confused.without, confused.corrected) == (1.0, 1.0, 0.5)
    assert confused.interval == (-1.0, 0.0)


def test_where_nobody_is_taken_for_anybody_else_there_is_nothing_to_correct(
    small: Path, small_people: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Comparisons, "distance_at", lambda self, far: 0.0)
    with pytest.raises(UnusableTrainingSet, match="small mistakes nobody for anybody else"):
        list(correcting.measure(small_people, plan=TrainingPlan(steps=2), old_folder=Path(small)))


def test_only_strangers_within_the_limit_are_corrected(small: Path, small_people: TrainingSet) -> None:
    old = Model.load(small)
    enrolled, seen = (small_people.taken(np.arange(len(small_people))[part::3]) for part in (0, 1))
    hard = correcting._taken_wrongly(old, seen.chips, seen.labels, enrolled)
    vectors, templates = old.embed(hard.chips), old.embed(enrolled.chips)
    gaps = np.linalg.norm(vectors[:, None] - templates[None], axis=2)
    limit = correcting._compared(correcting._gaps(old, seen.chips, enrolled), seen.labels, enrolled).distance_at(0.01)
    assert len(hard) > 0
    assert (hard.labels != hard.not_labels).all()
    for row, taken_for in zip(gaps, hard.not_labels, strict=True):
        assert row[enrolled.labels == taken_for].min() < limit
