from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.embedder.card import Card, Lineage
from models.embedder.model import Model, keras_network
from models.embedder.references import FAST
from models.training import publish
from models.training.samples import TrainingSet

PARENT = Card.read(FAST)
LINEAGE = Lineage(parent=PARENT.version, mode="full", people=10, chips=100, people_tested=6, digest="0" * 64)
RATES = {"fmr-1e-2": 1e-2, "fmr-1e-3": 1e-3}


def usual() -> publish.Distances:
    """Distances of which the parent's card says what is true."""
    rates = np.random.default_rng(1).random(20_000)
    return np.array([PARENT.distance(rate) for rate in rates])


def test_thresholds_are_of_the_new_distances() -> None:
    wider = usual() * 1.5
    card = publish.described("new", PARENT, LINEAGE, {"clean": (usual(), wider)})
    for name, rate in RATES.items():
        assert card.thresholds[name] == pytest.approx(1.5 * PARENT.thresholds[name], rel=0.03)
        assert rate / 3 < (wider <= card.thresholds[name]).mean() <= rate * 1.1
        assert card.fmr(card.thresholds[name]) == pytest.approx(rate, rel=0.5)
    assert card.extrapolated == ("fmr-1e-4", "fmr-1e-5", "fmr-1e-6")


def test_people_less_alike_than_most_do_not_loosen_it() -> None:
    # The parent put them further apart than it puts others: so will the new version.
    apart = publish.described("new", PARENT, LINEAGE, {"clean": (usual() + 0.1, usual() + 0.1)})
    for name, rate in RATES.items():
        assert apart.thresholds[name] == pytest.approx(PARENT.thresholds[name], abs=0.02)
        assert apart.fmr(apart.thresholds[name]) == pytest.approx(rate, rel=0.5)


def test_people_more_alike_than_most_make_it_strict() -> None:
    near = publish.described("new", PARENT, LINEAGE, {"clean": (usual() - 0.1, usual() - 0.1)})
    for name, rate in RATES.items():
        assert near.thresholds[name] < PARENT.thresholds[name] - 0.05
        assert (usual() - 0.1 <= near.thresholds[name]).mean() <= rate * 1.1


def test_what_is_written_is_read_and_takes_as_long(tmp_path: Path, reference: Model, people: TrainingSet) -> None:
    card = publish.write(tmp_path / "new", keras_network(FAST), publish.unmeasured("new", reference.card))
    assert Card.read(tmp_path / "new") == card
    assert card.weights is not None
    new = Model.load(tmp_path / "new", half=True)
    assert np.allclose(new.embed(people.chips[:3]), reference.embed(people.chips[:3]))
    assert publish.latency_ratio(reference, new, people.chips) == pytest.approx(1, abs=0.4)
