from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.embedder.model import Model, Vectors
from models.pictures.geometry import Pixels
from models.training.compare import Compared
from models.training.gaps import gaps
from models.training.samples import Sample, TrainingSet


class Harmed:
    """A version that has become bad at the faces that it knows, and is what it was at all others."""

    def __init__(self, reference: Model, chips: Pixels) -> None:
        self._reference, self._harmed = reference, {chip.tobytes() for chip in chips}
        self._random = np.random.default_rng(0)

    def embed(self, chips: Pixels) -> Vectors:
        vectors = self._reference.embed(chips)
        bad = [chip.tobytes() in self._harmed for chip in chips]
        noise = self._random.normal(0, 0.06, vectors.shape) * np.array(bad)[:, None]
        return np.asarray(vectors + noise, np.float32)


@pytest.fixture(scope="module")
def labelled_people(people: TrainingSet) -> TrainingSet:
    """12 people, half of them young and half old; one picture is the only one of its group."""
    few = people.of_people(people.people[:12])
    age = np.array([("young", "old")[label % 2] for label in few.labels])
    camera = np.array(["door" if row % 3 == 0 else "" for row in range(len(few))])
    seldom = np.array(["once" if row == 0 else "else" for row in range(len(few))])
    return replace(few, groups={"age": age, "camera": camera, "seldom": seldom})


def test_who_pays_for_a_change_is_seen(reference: Model, labelled_people: TrainingSet) -> None:
    old_people = labelled_people.chips[labelled_people.groups["age"] == "old"]
    new = Harmed(reference, old_people)
    compared = Compared.of(reference, new, labelled_people, 0)  # type: ignore[arg-type]
    found = {(one.by, one.group, one.pictures): one for one in gaps(compared, 0)}
    assert {key[:2] for key in found} == {("age", "old"), ("age", "young"), ("camera", "door"), ("seldom", "else")}
    harmed, spared = found["age", "old", "clean"], found["age", "young", "clean"]
    assert (harmed.people, harmed.genuine_pairs, harmed.impostor_pairs) == (6, 6 * 6, 6 * 5 * 9)
    assert harmed.fnmr.change_interval[0] > 0.2
    low, high = spared.fnmr.change_interval
    assert high < harmed.fnmr.change
    assert low <= spared.fnmr.change <= high
    door = found["camera", "door", "clean"]
    assert (door.people, door.genuine_pairs) == (12, 12 * 4), "the two other pictures of each person have no label"
    assert found["camera", "door", "degraded"].genuine_pairs == 2 * 12 * 4


def test_nothing_is_known_of_anybody(reference: Model, people: TrainingSet) -> None:
    few = people.of_people(people.people[:4])
    assert gaps(Compared.of(reference, reference, few, 0), 0) == ()


def test_what_is_known_stays_with_its_picture() -> None:
    from models.analysis import chips

    grey = chips.encode(np.full((32, 32, 3), 90, np.uint8))
    samples = [Sample(f"e{at}", "u", f"s{at % 2}", grey, groups={"camera": f"c{at}"} if at else {}) for at in range(4)]
    known = TrainingSet.of(reversed(samples), 32)
    assert known.groups["camera"].tolist() == ["", "c1", "c2", "c3"]
    assert known.of_people(["u/s1"]).groups["camera"].tolist() == ["c1", "c3"]
    assert known.digest == TrainingSet.of([Sample(f"e{at}", "u", f"s{at % 2}", grey) for at in range(4)], 32).digest
