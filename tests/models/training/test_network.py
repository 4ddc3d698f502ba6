from __future__ import annotations

from pathlib import Path

import keras  # type: ignore[import-untyped]
import numpy as np
import pytest

from models.embedder.card import UnusableModel
from models.embedder.model import Model, keras_network
from models.embedder.references import ACCURATE, FAST
from models.training import network, publish
from models.training.samples import TrainingSet

ALL = np.ones(6, bool)


def test_vectors_are_evened_out_and_stay_so_when_stored(tmp_path: Path, reference: Model, people: TrainingSet) -> None:
    before = reference.embed(people.chips)
    real = np.arange(len(before)) % 2 == 0
    grown, wanted = network.grow(keras_network(FAST), before, real)
    mean = before[real].mean(0)
    away = np.linalg.norm(before - mean, axis=1)
    usual = np.sqrt(np.square(away[real]).mean())
    assert np.linalg.norm(wanted - mean, axis=1) == pytest.approx(usual * (away / usual) ** network.EVENNESS, rel=1e-4)
    publish.write(tmp_path / "even", grown, publish.unmeasured("even", reference.card))
    # The reference vectors have the error of bfloat16.
    assert np.abs(Model.load(tmp_path / "even").embed(people.chips) - wanted).max() < 0.01
    again, same = network.grow(keras_network(tmp_path / "even"), wanted, real)
    assert len(again.layers) == len(grown.layers), "it was evened out already"
    assert same is wanted


def test_the_first_layers_are_learned_and_no_others(reference: Model, people: TrainingSet) -> None:
    grown, _ = network.grow(keras_network(FAST), reference.embed(people.chips[:6]), ALL)
    learned = {variable.path.split("/")[0] for variable in network.learnable(grown)}
    assert learned == {"stem", *(f"block{index}_{part}" for index in range(network.EARLY_BLOCKS) for part in "ab")}


def test_of_the_other_reference_network_too_and_its_vectors_stay_of_length_1() -> None:
    sface, vectors = keras_network(ACCURATE), np.ones((6, 128), np.float32) / np.sqrt(128)
    grown, wanted = network.grow(sface, vectors, ALL)
    assert grown is sface and wanted is vectors
    learned = {variable.path.split("/")[0].removesuffix("_prelu") for variable in network.learnable(grown)}
    blocks = range(network.EARLY_BLOCKS)
    assert learned == {"stem", *(f"block{index}_{part}" for index in blocks for part in ("depthwise", "pointwise"))}
    made = np.asarray(grown(np.random.default_rng(0).uniform(-1, 1, (2, 112, 112, 3)).astype(np.float32)))
    assert np.linalg.norm(made, axis=1) == pytest.approx(1, abs=1e-5)


def test_another_network_is_refused() -> None:
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    with pytest.raises(UnusableModel, match="mode head"):
        network.grow(other, np.zeros((1, 2), np.float32), ALL[:1])


def test_less_precision_leaves_weights_and_vectors_as_they_are(reference: Model, people: TrainingSet) -> None:
    grown, wanted = network.grow(keras_network(FAST), reference.embed(people.chips[:6]), ALL)
    network.compute_in(grown, "mixed_bfloat16")
    assert {str(variable.dtype) for variable in grown.variables} == {"float32"}
    card = reference.card.chip
    vectors = grown((people.chips[:6] - np.array(card.mean, np.float32)) * card.scale)
    assert vectors.dtype == "float32"
    moved = np.linalg.norm(vectors - wanted, axis=1)
    assert 0 < moved.max() < 0.05
