from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.evaluation.comparisons import Comparisons
from models.evaluation.groups import Group, Labelling, UnusableLabels, errors, groups_of, labelled, within


def read(tmp_path: Path, text: str) -> Labelling:
    file = tmp_path / "groups.csv"
    file.write_text(text, "utf-8")
    return Labelling.read(file)


def test_a_file_says_something_of_people(tmp_path: Path) -> None:
    known = read(tmp_path, "\ufeffsubject_id,age,sex\n anna ,60 and more,f\nbert,,m\n\n")
    assert known.of("any", "any", "anna") == {"age": "60 and more", "sex": "f"}
    assert known.of("any", "any", "bert") == {"sex": "m"}
    assert known.of("any", "any", "carl") == {}


def test_a_file_says_something_of_single_pictures_or_of_the_subjects_of_a_user(tmp_path: Path) -> None:
    assert read(tmp_path, "event_id,camera\ne1,door\n").of("e1", "u", "s") == {"camera": "door"}
    known = read(tmp_path, "age,subject_id,user_id\n20,s,u\n60,s,other\n")
    assert [known.of("e", user, "s") for user in ("u", "other", "third")] == [{"age": "20"}, {"age": "60"}, {}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "needs a heading"),
        ("subject_id\nanna\n", "needs a heading"),
        ("age,sex\n20,f\n", "needs a heading"),
        ("subject_id,age,age\nanna,20,20\n", "needs a heading"),
        ("subject_id,age\nanna\n", "line 2: 1 cells"),
        ("subject_id,age\nanna,20\n\nanna,60\n", "line 4: an earlier line has other labels for anna"),
    ],
)
def test_a_file_that_is_not_understood(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UnusableLabels, match=message):
        read(tmp_path, text)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UnusableLabels, match="cannot be read"):
        Labelling.read(tmp_path / "none.csv")


def test_the_faces_of_a_camera_meet_enrolment_photos_and_not_another_cameras() -> None:
    labels = labelled([{"camera": "door"}, {"camera": "door"}, {"camera": "gate"}, {}])
    assert groups_of(labels) == [Group("camera", "door"), Group("camera", "gate")]
    first, second = np.triu_indices(4, 1)
    pairs = list(zip(first.tolist(), second.tolist(), strict=True))

    def chosen(name: str) -> list[tuple[int, int]]:
        rows = within(labels["camera"], name, first, second)
        return [pair for pair, row in zip(pairs, rows, strict=True) if row]

    assert chosen("door") == [(0, 1), (0, 3), (1, 3)]
    assert chosen("gate") == [(2, 3)]


def compared(*pairs: tuple[float, int, int]) -> Comparisons:
    distances, first, second = zip(*pairs, strict=True)
    return Comparisons.among(np.array(distances), np.array(first, np.int32), np.array(second, np.int32))


def test_errors_at_a_distance() -> None:
    pairs = [(0.3, 4, 4), (0.7, 4, 4), (0.6, 9, 9), (0.5, 4, 9), (0.9, 9, 4)]
    found = errors(compared(*pairs), 0.6)
    assert found is not None
    assert (found.people, found.genuine_pairs, found.impostor_pairs) == (2, 3, 2)
    assert (found.fnmr, found.fmr) == (pytest.approx(2 / 3), pytest.approx(1 / 2))
    assert found.fnmr_interval == (0.5, 1), "person 9 is always missed, person 4 every other time"


def test_a_group_without_strangers_and_one_without_a_pair_of_one_person() -> None:
    found = errors(compared((0.3, 1, 1)), 0.6)
    assert found is not None
    assert (found.fnmr, found.fmr, found.fmr_interval) == (0, None, None)
    assert found.fnmr_interval == (0, pytest.approx(0.975)), "one person who was found says little of others"
    assert errors(compared((0.3, 1, 2)), 0.6) is None


def test_a_group_of_one_picture() -> None:
    nothing = np.empty(0, np.int32)
    assert errors(Comparisons.among(np.empty(0), nothing, nothing), 0.6) is None


def test_more_people_make_surer() -> None:
    def width(people: int) -> float:
        pairs = [(0.5 + 0.2 * (view % 2 == person % 3), person, person) for person in range(people) for view in (0, 1)]
        found = errors(compared(*pairs), 0.6)
        assert found is not None
        low, high = found.fnmr_interval
        return high - low

    assert width(60) < width(6)
