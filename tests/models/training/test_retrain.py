from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models.embedder import runtime
from models.embedder.card import Card, Source
from models.embedder.model import Model, keras_network
from models.embedder.references import FAST
from models.training import loop
from models.training.gate import refusals
from models.training.history import TrainingProgress
from models.training.loop import digest
from models.training.network import learnable
from models.training.plan import Run, TrainingPlan
from models.training.retrain import HEAD_FILE, retrain
from models.training.samples import HELD_OUT, NOBODY, Corrected, TrainingSet, UnusableTrainingSet, split

PLAN = TrainingPlan(steps=2, bases=0, batch=4, warm_up=1, validate_every=1, checkpoint_every=1)
SOURCE = Source(offsets={"chips": {0: 40, 1: 20}})


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, small: Path, small_people: TrainingSet) -> Path:
    """A folder in which the version v2 has been trained."""
    folder = tmp_path_factory.mktemp("models")
    ages = np.array([("young", "old")[label % 2] for label in small_people.labels])
    known = dataclasses.replace(small_people, groups={"age": ages})
    retrain(folder, "v2", known, mode="full", old_folder=small, plan=PLAN, source=SOURCE)
    return folder


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train without a process of its own: TensorFlow takes seconds to start."""

    def launched(run: Run, old_folder: Path, *, say: Callable[[TrainingProgress], None], **_: object) -> None:
        loop.train(run, Card.read(old_folder), runtime.tensorflow().distribute.get_strategy(), say=say)

    monkeypatch.setattr("models.training.retrain.launch", launched)


def learned(folder: Path) -> str:
    return digest([np.array(variable) for variable in learnable(keras_network(folder))])


def test_a_full_training_says_what_it_was_made_of_and_how_it_went(
    models: Path, small: Path, small_people: TrainingSet
) -> None:
    new, old = Model.load(models / "v2"), Model.load(small)
    card, lineage = new.card, new.card.lineage
    assert card.version == "v2"
    assert lineage is not None
    others = small_people.of_people(split(small_people.people, HELD_OUT, 0)[1])
    assert (lineage.parent, lineage.digest, lineage.source) == ("small", small_people.digest, SOURCE)
    assert (lineage.people, lineage.people_tested) == (20 - len(others.people), len(others.people))
    assert (lineage.chips, lineage.chips_tested) == (60 - len(others), len(others))
    assert [validated.step for validated in lineage.history] == [1, 2]
    assert all(validated.tar is not None for validated in lineage.history)
    assert list((models / "v2" / "board").iterdir()), "TensorBoard has nothing to show"
    assert np.abs(new.embed(others.chips) - old.embed(others.chips)).max() > 1e-3
    assert [path.name for path in models.iterdir()] == ["v2"], "faces were left behind"
    # Few people were measured, so low rates are beyond what was seen.
    assert "fmr-1e-5" in card.extrapolated
    assert set(card.scores) == set(lineage.measured) == {"clean", "degraded"}
    measured = {(one.group, one.pictures) for one in lineage.groups if one.by == "age"}
    assert measured == {(group, kind) for group in ("old", "young") for kind in ("clean", "degraded")}
    for kind, scores in card.scores.items():
        assert scores.tar_at_far["1e-2"].tar == lineage.measured[kind].after
        assert scores.tar_at_far["1e-4"].extrapolated


@pytest.mark.usefixtures("in_process")
def test_a_trained_version_is_trained_on(models: Path, tmp_path: Path, small_people: TrainingSet) -> None:
    card = retrain(tmp_path, "v3", small_people, mode="full", old_folder=models / "v2", plan=PLAN)
    assert card.lineage is not None
    assert card.lineage.parent == "v2"
    assert learned(tmp_path / "v3") != learned(models / "v2")
    assert Model.load(tmp_path / "v3").card == card


def test_a_head_is_a_version_too_and_the_gate_refuses_little_data(
    tmp_path: Path, small: Path, small_people: TrainingSet
) -> None:
    few = small_people.of_people(small_people.people[:12])
    card = retrain(tmp_path, "head", few, mode="head", old_folder=small)
    new, old = Model.load(tmp_path / "head"), Model.load(small)
    assert np.abs(new.embed(few.chips) - old.embed(few.chips)).max() > 1e-3
    assert (tmp_path / "head" / HEAD_FILE).exists()
    assert new.card == card
    assert card.lineage is not None
    assert any("faces, fewer than 50" in reason for reason in refusals(card.lineage))


def test_a_corrected_face_of_whom_is_measured_on_is_not_learned_from(
    tmp_path: Path, small: Path, small_people: TrainingSet
) -> None:
    learn, test = (small_people.of_people(side) for side in split(small_people.people, HELD_OUT, 0))
    taken_for = small_people.people.index(learn.people[0])
    faces = np.concatenate([learn.chips[-1:], test.chips[:1]])
    hard = Corrected(faces, np.full(2, NOBODY, np.int32), np.full(2, taken_for, np.int32))
    card = retrain(tmp_path, "v2", dataclasses.replace(small_people, corrected=hard), mode="head", old_folder=small)
    assert card.lineage is not None
    assert card.lineage.corrections == 1


@pytest.mark.usefixtures("in_process")
def test_a_training_that_was_broken_off_goes_on_and_no_other_does(
    tmp_path: Path, models: Path, small: Path, small_people: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("models.training.publish.learned_network", fail)
        for known in (small_people.of_people(small_people.people[:14]), small_people):
            known = dataclasses.replace(known, digest=str(len(known)))
            with pytest.raises(OSError, match="no space"):
                retrain(tmp_path, "v2", known, mode="full", old_folder=small, plan=PLAN)
    assert not (tmp_path / "v2").exists()
    steps: list[int] = []
    retrain(tmp_path, "v2", known, mode="full", old_folder=small, plan=PLAN, say=lambda now: steps.append(now.step))
    assert steps == [], "it had taken all its steps before"
    assert learned(tmp_path / "v2") == learned(models / "v2"), "the same people and plan make the same weights"


def test_people_with_one_face_each_show_nothing(tmp_path: Path, people: TrainingSet) -> None:
    once = dataclasses.replace(people, chips=people.chips[::3], labels=people.labels[::3])
    with pytest.raises(UnusableTrainingSet, match="nobody has two chips"):
        retrain(tmp_path, "v2", once, mode="head", old_folder=FAST)


def test_too_few_people_to_hold_out(tmp_path: Path, people: TrainingSet) -> None:
    with pytest.raises(UnusableTrainingSet, match="at least 2 of each are needed"):
        retrain(tmp_path, "v2", people.of_people(people.people[:2]), mode="head", old_folder=FAST)
