from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.embedder import runtime
from models.embedder.card import Card
from models.embedder.model import Model, keras_network
from models.embedder.references import FAST
from models.training import loop, publish
from models.training.checkpoint import State
from models.training.compare import Compared
from models.training.history import TrainingProgress
from models.training.loop import Outcome
from models.training.plan import Run, TrainingPlan
from models.training.prepare import prepare
from models.training.samples import NOBODY, Corrected, TrainingSet

SHORT = TrainingPlan(steps=4, batch=2, bases=0, warm_up=1, validate_every=2, checkpoint_every=2)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, small: Path, small_people: TrainingSet) -> Run:
    folder = tmp_path_factory.mktemp("prepared") / "run"
    return prepare(folder, SHORT, Model.load(small), keras_network(small), small_people)


def trained(
    prepared: Run, folder: Path, small: Path, seen: list[TrainingProgress] | None = None, **plan: Any
) -> Outcome:
    """Train in a copy of a prepared run, or go on in it."""
    if not folder.exists():
        shutil.copytree(prepared.folder, folder)
    (folder / "plan.json").write_text(SHORT.model_copy(update=plan).model_dump_json(), "utf-8")
    strategy = runtime.tensorflow().distribute.get_strategy()
    return loop.train(Run(folder), Card.read(small), strategy, say=(seen if seen is not None else []).append)


def test_what_goes_on_from_a_checkpoint_ends_as_what_never_stopped(
    prepared: Run, tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[TrainingProgress] = []
    whole = trained(prepared, tmp_path / "whole", small, seen)
    assert [(now.step, now.steps) for now in seen] == [(2, 4), (4, 4)]
    assert all(0 <= (now.tar or 0) <= 1 and now.validation for now in seen)
    with monkeypatch.context() as broken, pytest.raises(KeyboardInterrupt):
        broken.setattr("models.training.loop.Feeder._made", _broken_at(3, loop.Feeder._made))
        trained(prepared, tmp_path / "broken", small)
    state = State.read(Run(tmp_path / "broken").checkpoint)
    assert state is not None
    assert state.step == 2
    again = trained(prepared, tmp_path / "broken", small)
    assert (again.digest, again.validation) == (whole.digest, whole.validation)
    with np.load(Run(tmp_path / "whole").learned) as one, np.load(Run(tmp_path / "broken").learned) as other:
        assert all(np.array_equal(one[name], other[name]) for name in one.files)


def _broken_at(step: int, made: Any) -> Any:
    def broken(self: Any, at: int, replica: int) -> Any:
        if at == step:
            raise KeyboardInterrupt
        return made(self, at, replica)

    return broken


def test_early_stop_keeps_the_best(prepared: Run, tmp_path: Path, small: Path) -> None:
    spoilt = trained(prepared, tmp_path / "run", small, steps=40, learning_rate=0.3, patience=2, validate_every=1)
    assert spoilt.steps < 40
    assert spoilt.best_step == spoilt.steps - 2


@pytest.fixture(scope="module")
def plain(prepared: Run, tmp_path_factory: pytest.TempPathFactory, small: Path) -> str:
    return trained(prepared, tmp_path_factory.mktemp("plain") / "run", small, steps=1, warm_up=0).digest


@pytest.mark.parametrize(
    "changed",
    [{"arc_face": 0.1}, {"compatibility": 0.1}, {"pairwise": 0.0}, {"precision": "mixed_bfloat16"}],
    ids=lambda changed: next(iter(changed)),
)
def test_every_option_has_its_effect(
    prepared: Run, tmp_path: Path, small: Path, plain: str, changed: dict[str, Any]
) -> None:
    changed = {"steps": 1, "warm_up": 0} | changed
    assert trained(prepared, tmp_path / "run", small, **changed).digest != plain


def test_poor_faces_of_people_it_has_not_met_are_told_apart_better(
    tmp_path: Path, reference: Model, people: TrainingSet
) -> None:
    plan = TrainingPlan(steps=20, batch=16, bases=50, warm_up=5, validate_every=20, averaging=0.8)
    met, others = people.of_people(people.people[:12]), people.of_people(people.people[12:])
    run = prepare(tmp_path / "run", plan, reference, keras_network(FAST), met)
    loop.train(run, reference.card, runtime.tensorflow().distribute.get_strategy())
    publish.write(tmp_path / "new", publish.learned_network(run), publish.unmeasured("new", reference.card))
    compared = Compared.of(reference, Model.load(tmp_path / "new"), others, 0)
    before, after = (model.tar() for model in compared.degraded)
    assert after > before + 0.02


def test_a_corrected_face_moves_away_from_whom_it_was_taken_for(
    tmp_path: Path, small: Path, small_people: TrainingSet
) -> None:
    old, plan = Model.load(small), {"steps": 60, "batch": 16, "warm_up": 0, "validate_every": 60}
    theirs = small_people.labels == 3
    face = small_people.chips[theirs][:1] // 2 + small_people.chips[small_people.labels == 4][:1] // 2
    hard = Corrected(face, np.array([NOBODY], np.int32), np.array([3], np.int32))
    known = replace(small_people, corrected=hard)
    run = prepare(tmp_path / "run", SHORT, old, keras_network(small), known)

    def gap(corrections: float) -> float:
        folder = tmp_path / f"run-{corrections}"
        trained(run, folder, small, **plan, corrections=corrections, averaging=0.5, patience=99)
        publish.write(folder / "new", publish.learned_network(Run(folder)), publish.unmeasured("new", old.card))
        new = Model.load(folder / "new")
        return float(np.linalg.norm(new.embed(face) - new.embed(small_people.chips[theirs]), axis=1).mean())

    assert gap(3.0) > gap(0.0) + 0.05
