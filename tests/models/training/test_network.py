from __future__ import annotations

from pathlib import Path

import numpy as np

from models.card import Card
from models.model import Model, keras_network
from models.training import network, publish
from models.training.plan import Plan
from models.training.prepare import prepare
from models.training.samples import TrainingSet


def test_before_learning_it_is_the_reference_and_where_the_gate_is_shut_it_stays_so(
    tmp_path: Path, reference: Model, people: TrainingSet
) -> None:
    run = prepare(tmp_path / "run", Plan(bases=0), reference, keras_network(), people)
    import keras  # type: ignore[import-untyped]

    grown = keras.models.load_model(run.network, compile=False)
    card = publish.unmeasured("grown", reference.card)
    publish.write(tmp_path / "same", grown, card)
    clean = people.chips[::6]
    assert np.abs(Model.load(tmp_path / "same").embed(clean) - reference.embed(clean)).max() < 1e-5
    random = np.random.default_rng(0)
    for variable in network.adapters(grown):
        variable.assign(random.normal(0, 0.01, variable.shape))
    publish.write(tmp_path / "other", grown, card)
    other = Model.load(tmp_path / "other")
    from models.training.measure import degraded

    poor = degraded(clean, 0)
    assert np.median(np.linalg.norm(other.embed(poor) - reference.embed(poor), axis=1)) > 0.05
    assert np.median(np.linalg.norm(other.embed(clean) - reference.embed(clean), axis=1)) < 1e-5
    assert Card.read(tmp_path / "other").version == "grown"
