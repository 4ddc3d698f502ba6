from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models.embedder.model import Model
from models.embedder.references import FAST
from models.evaluation.comparisons import Comparisons
from models.training import crossval
from models.training.compare import Compared
from models.training.plan import TrainingPlan
from models.training.samples import TrainingSet, folds


def test_everybody_is_measured_on_once_by_a_version_that_has_not_met_them(
    reference: Model, people: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    met: list[set[str]] = []

    def trained(folder: Any, plan: Any, old: Any, old_folder: Any, learn: TrainingSet, say: Any) -> tuple[Model, int]:
        met.append(set(learn.people))
        return reference, 7

    monkeypatch.setattr(crossval, "trained", trained)
    few = people.of_people(people.people[:9])
    first, outcome = crossval.cross_validate(few, parts=2, plan=TrainingPlan(seed=5), old_folder=FAST)
    assert (first.subjects_test, len(first.folds)) == (5, 1)
    dealt = folds(few.people, 2, 5)
    assert met == [set(few.people) - set(part) for part in dealt]
    assert (outcome.subjects_train, outcome.subjects_test) == (4, 9)
    assert [(fold.people, fold.steps) for fold in outcome.folds] == [(5, 7), (4, 7)]
    joined = Comparisons.joined(
        [Compared.of(reference, reference, few.of_people(part), 5).degraded[0] for part in dealt]
    )
    for change in (outcome.degraded, outcome.compatible):
        assert change.before == change.after == joined.tar()
        assert change.gain_interval == (0, 0)
    assert outcome.clean.before > outcome.degraded.before
    assert outcome.latency_ratio == pytest.approx(1, abs=0.3)


def test_a_fold_that_fails_takes_none_of_the_others_with_it(
    small: Path, small_people: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    few, plan = small_people.of_people(small_people.people[:9]), TrainingPlan(seed=5)
    tries = []

    def trained(*_: Any) -> tuple[Model, int]:
        tries.append(1)
        if len(tries) == 1:
            raise RuntimeError("the machine is too small")
        return Model.load(small), 7

    monkeypatch.setattr(crossval, "trained", trained)
    (outcome,) = crossval.cross_validate(few, parts=2, plan=plan, old_folder=small)
    assert [fold.people for fold in outcome.folds] == [4]
    assert outcome.failed == {1: "RuntimeError: the machine is too small"}
    monkeypatch.setattr(crossval, "trained", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(crossval.cross_validate(few, parts=2, plan=plan, old_folder=small))


def test_a_head_is_measured_like_a_full_training(small: Path, small_people: TrainingSet) -> None:
    few, plan = small_people.of_people(small_people.people[:8]), TrainingPlan(seed=5)
    *_, outcome = crossval.cross_validate(few, parts=2, plan=plan, old_folder=small, mode="head")
    assert [fold.steps for fold in outcome.folds] == [0, 0]
    assert (outcome.clean.before, outcome.degraded.before) != (outcome.clean.after, outcome.degraded.after)
