from __future__ import annotations

from pathlib import Path

import keras  # type: ignore[import-untyped]
import numpy as np
import pytest

from models.embedder.card import UnusableModel
from models.embedder.model import Model, keras_network
from models.embedder.references import FAST
from models.training.plan import Run, TrainingPlan
from models.training.prepare import prepare
from models.training.samples import TrainingSet

PLAN = TrainingPlan(bases=100, seed=3)


def test_nobody_who_is_held_out_is_learned_from(tmp_path: Path, reference: Model, people: TrainingSet) -> None:
    said: list[str] = []
    run = prepare(tmp_path / "run", PLAN, reference, keras_network(FAST), people, said.append)
    assert run.is_prepared
    assert run.plan == PLAN
    material = run.material()
    held_out = {chip.tobytes() for chip in material.held_out[: len(material.held_out_people)]}
    known = {chip.tobytes() for chip in people.chips}
    assert held_out <= known
    assert held_out | {chip.tobytes() for chip in material.chips} >= known
    assert not held_out & {chip.tobytes() for chip in material.chips}
    assert len(set(material.held_out_people.tolist())) == 4
    assert said == ["16 people to train on, 4 for early stopping"]


def test_the_right_vectors_are_what_the_network_makes_of_clean_faces(
    tmp_path: Path, reference: Model, people: TrainingSet
) -> None:
    run = prepare(tmp_path / "run", PLAN, reference, keras_network(FAST), people)
    material, chip = run.material(), reference.card.chip
    network = keras.models.load_model(run.network, compile=False)
    made = network((material.chips[:8] - np.array(chip.mean, np.float32)) * chip.scale)
    # These have the error of bfloat16, with which the reference model embeds.
    assert np.asarray(made) == pytest.approx(material.vectors[:8], abs=0.01)


def test_few_people_are_all_learned_from(tmp_path: Path, reference: Model, people: TrainingSet) -> None:
    run = prepare(tmp_path / "run", PLAN, reference, keras_network(FAST), people.of_people(people.people[:5]))
    assert not len(run.material().held_out)


def test_another_network_is_refused_by_name(tmp_path: Path, reference: Model, people: TrainingSet) -> None:
    other = keras.Sequential([keras.Input((150, 150, 3)), keras.layers.Flatten()])
    with pytest.raises(UnusableModel, match=f"{reference.card.version}: .*mode head"):
        prepare(tmp_path / "run", PLAN, reference, other, people)
    assert not Run(tmp_path / "run").is_prepared
