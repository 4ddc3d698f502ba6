from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.analysis import chips
from models.analysis.analyzer import Analyzer
from models.evaluation.evaluation import UnusableEvaluation
from models.reference import synthetic
from models.training.samples import (
    Correction,
    Sample,
    TrainingSet,
    UnusableTrainingSet,
    digest,
    enough,
    folds,
    from_folders,
    split,
)
from tests.models.conftest import Photo

CHIPS = synthetic.chips()
SAMPLES = [Sample(f"e{at}", f"u{at % 2}", f"s{at % 3}", chips.encode(CHIPS[at])) for at in range(12)]


def test_the_order_in_which_samples_came_does_not_matter() -> None:
    one, other = TrainingSet.of(SAMPLES, 150), TrainingSet.of(SAMPLES[::-1], 150)
    assert one.digest == other.digest
    assert np.array_equal(one.chips, other.chips)
    assert np.array_equal(one.labels, other.labels)


@pytest.mark.parametrize("changed", [{"subject_id": "x"}, {"user_id": "x"}, {"event_id": "x"}, {"chip": b"x"}])
def test_the_digest_tells_every_change(changed: dict[str, str]) -> None:
    assert digest([replace(SAMPLES[0], **changed), *SAMPLES[1:]]) != digest(SAMPLES)


def test_subjects_of_two_users_are_two_people_and_the_last_of_an_event_counts() -> None:
    made = TrainingSet.of([*SAMPLES, replace(SAMPLES[0], subject_id="new")], 150)
    assert len(made) == 12
    assert set(made.people) == {"u0/new", *(f"u{user}/s{subject}" for user in (0, 1) for subject in range(3))}


def test_a_part_keeps_its_faces_and_its_digest() -> None:
    whole = TrainingSet.of(SAMPLES, 150)
    part = whole.of_people(["u1/s2", "u0/s1"])
    assert part.people == ("u0/s1", "u1/s2")
    assert part.digest == whole.digest
    for person, name in enumerate(part.people):
        rows = whole.labels == whole.people.index(name)
        assert np.array_equal(part.chips[part.labels == person], whole.chips[rows])


@pytest.mark.parametrize("chip", [b"", b"no picture", chips.encode(CHIPS[0][:100, :100])])
def test_a_chip_of_another_kind_is_named(chip: bytes) -> None:
    with pytest.raises(UnusableTrainingSet, match="e0"):
        TrainingSet.of([replace(SAMPLES[0], chip=chip)], 150)


@given(st.sets(st.text(max_size=8), min_size=8, max_size=60), st.integers(0, 99), st.integers(2, 4))
def test_everybody_is_in_one_fold(people: set[str], seed: int, count: int) -> None:
    dealt = folds(sorted(people), count, seed)
    assert sorted(person for part in dealt for person in part) == sorted(people)
    assert max(map(len, dealt)) - min(map(len, dealt)) <= 1
    assert dealt == folds(sorted(people, reverse=True), count, seed)


@given(st.sets(st.text(max_size=8), max_size=60), st.text(max_size=8), st.integers(0, 99))
def test_nobody_changes_sides_when_another_joins(people: set[str], other: str, seed: int) -> None:
    learn, test = split(people, 0.3, seed)
    assert not set(learn) & set(test)
    assert set(learn) | set(test) == people
    more_learn, more_test = split(people | {other}, 0.3, seed)
    assert set(learn) <= set(more_learn)
    assert set(test) <= set(more_test)


def test_too_few_are_refused() -> None:
    known = TrainingSet.of(SAMPLES, 150)
    enough(known, 6, 12)
    with pytest.raises(UnusableTrainingSet, match="12 chips of 6 people are too few"):
        enough(known, 7, 12)
    with pytest.raises(UnusableTrainingSet, match="two chips"):
        enough(TrainingSet.of(SAMPLES[:3], 150), 2, 2)
    with pytest.raises(UnusableTrainingSet, match="too few for 4 parts"):
        folds(known.people, 4, 0)


def test_faces_are_cut_out_of_folders(analyzer: Analyzer, photo: Photo, tmp_path: Path) -> None:
    for name in ("obama", "biden"):
        (tmp_path / "set" / name).mkdir(parents=True)
        (tmp_path / "set" / name / "1.jpg").write_bytes(photo(name))
    (tmp_path / "set" / "biden" / "2.jpg").write_text("no picture")
    samples, skipped = from_folders(analyzer, [tmp_path / "set"])
    assert [sample.person for sample in samples] == ["set/biden", "set/obama"]
    assert all(0 < sample.quality <= 1 for sample in samples)
    assert list(skipped) == ["set/biden/2.jpg"]
    TrainingSet.of(samples, 150)
    with pytest.raises(UnusableEvaluation, match="no pictures"):
        from_folders(analyzer, [tmp_path])


def correction(name: str, subject: str | None, not_subject: str) -> Correction:
    return Correction(name, "u0", not_subject, SAMPLES[0].chip, subject)


CORRECTIONS = [correction("a", None, "s0"), correction("b", "s1", "s0"), correction("c", "s1", "s2")]


@pytest.mark.parametrize(
    ("chosen", "wanted"),
    [
        (["u0/s0", "u0/s1"], [(None, "u0/s0"), ("u0/s1", "u0/s0"), ("u0/s1", None)]),
        (["u0/s0", "u1/s1"], [(None, "u0/s0")]),
        (["u0/s1"], [("u0/s1", None), ("u0/s1", None)]),
        (["u1/s0"], []),
    ],
)
def test_a_corrected_face_is_on_the_side_of_its_person(
    chosen: list[str], wanted: list[tuple[str | None, str | None]]
) -> None:
    part = TrainingSet.of(SAMPLES, 150, CORRECTIONS[::-1]).of_people(chosen)
    names = dict(enumerate(part.people))
    hard = part.corrected
    found = zip(hard.labels.tolist(), hard.not_labels.tolist(), strict=True)
    assert [(names.get(label), names.get(other)) for label, other in found] == wanted
    assert len(hard.chips) == len(hard) == len(wanted)


def test_corrections_are_in_the_digest_and_of_people_who_are_not_there_in_nothing_else() -> None:
    plain = TrainingSet.of(SAMPLES, 150)
    corrected = TrainingSet.of(SAMPLES, 150, CORRECTIONS)
    assert len({plain.digest, corrected.digest, TrainingSet.of(SAMPLES, 150, CORRECTIONS[1:]).digest}) == 3
    assert len(corrected) == len(plain)
    assert len(TrainingSet.of(SAMPLES, 150, [correction("a", None, "gone")]).corrected) == 0


def test_of_many_faces_two_of_each_person_come_first() -> None:
    known = TrainingSet.of(SAMPLES, 150)
    assert known.at_most(12).labels.tolist() == known.labels.tolist()
    few = known.at_most(5)
    assert few.people == known.people[:3]
    assert np.bincount(few.labels).tolist() == [2, 2, 1]
    assert few.digest == known.digest
