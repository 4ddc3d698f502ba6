from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from models.card import Card
from models.model import Model, keras_network
from models.training.gate import refusals
from models.training.loop import digest
from models.training.network import learnable
from models.training.plan import Plan
from models.training.retrain import HEAD_FILE, HELD_OUT, retrain
from models.training.samples import TrainingSet, UnusableTrainingSet, split

PLAN = Plan(steps=2, bases=0, batch=4, warm_up=1, validate_every=1, checkpoint_every=1)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, people: TrainingSet) -> Path:
    """A folder in which the version v2 has been trained."""
    folder = tmp_path_factory.mktemp("models")
    retrain(folder, "v2", people, mode="full", plan=PLAN)
    return folder


def learned(folder: Path) -> str:
    return digest([np.array(variable) for variable in learnable(keras_network(folder))])


def test_a_full_training_says_what_it_was_made_of_and_how_it_went(
    models: Path, reference: Model, people: TrainingSet
) -> None:
    new = Model.load(models / "v2")
    card = new.card
    assert card.version == "v2"
    assert card.lineage is not None
    assert (card.lineage.parent, card.lineage.digest) == (reference.card.version, people.digest)
    assert [validated.step for validated in card.lineage.history] == [1, 2]
    assert all(validated.tar is not None for validated in card.lineage.history)
    assert list((models / "v2" / "board").iterdir()), "TensorBoard has nothing to show"
    others = people.of_people(split(people.people, HELD_OUT, 0)[1])
    assert np.abs(new.embed(others.chips) - reference.embed(others.chips)).max() > 1e-3
    assert [path.name for path in models.iterdir()] == ["v2"], "faces were left behind"
    # Few people were measured, so low rates are beyond what was seen, and no set is looser than the parent's.
    assert "fmr-1e-5" in card.extrapolated
    assert all(card.thresholds[name] <= reference.card.thresholds[name] for name in card.thresholds)


def test_a_trained_version_is_trained_on(models: Path, tmp_path: Path, people: TrainingSet) -> None:
    card = retrain(tmp_path, "v3", people, mode="full", old_folder=models / "v2", plan=PLAN)
    assert card.lineage is not None
    assert card.lineage.parent == "v2"
    assert learned(tmp_path / "v3") != learned(models / "v2")


def test_a_head_is_a_version_too_and_the_gate_refuses_little_data(tmp_path: Path, people: TrainingSet) -> None:
    few = people.of_people(people.people[:12])
    card = retrain(tmp_path, "head", few, mode="head")
    new = Model.load(tmp_path / "head")
    assert new.embed(people.chips[:2]).shape == (2, 128)
    assert (tmp_path / "head" / HEAD_FILE).exists()
    assert Card.read(tmp_path / "head") == card
    assert card.lineage is not None
    assert any("faces, fewer than 50" in reason for reason in refusals(card.lineage))


def test_a_training_that_was_broken_off_goes_on_and_no_other_does(
    tmp_path: Path, models: Path, people: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("models.training.publish.learned_network", fail)
        for known in (people.of_people(people.people[:14]), people):
            known = dataclasses.replace(known, digest=str(len(known)))
            with pytest.raises(OSError, match="no space"):
                retrain(tmp_path, "v2", known, mode="full", plan=PLAN)
    assert not (tmp_path / "v2").exists()
    steps: list[int] = []
    retrain(tmp_path, "v2", known, mode="full", plan=PLAN, say=lambda now: steps.append(now.step))
    assert steps == [], "it had taken all its steps before"
    assert learned(tmp_path / "v2") == learned(models / "v2"), "the same people and plan make the same weights"


def test_too_few_people_to_hold_out(tmp_path: Path, people: TrainingSet) -> None:
    with pytest.raises(UnusableTrainingSet, match="2 of each are the least"):
        retrain(tmp_path, "v2", people.of_people(people.people[:2]), mode="head")
