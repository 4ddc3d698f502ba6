from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from models.analyzer import Analyzer
from models.card import Card
from models.cheap import DigestAnalyzer
from models.evaluation import UnusableEvaluation, evaluate
from models.groups import Labelling
from models.model import Model
from tests.models.conftest import Photo
from tests.models.pictures import jpeg

PEOPLE = {
    "Barack Obama": ["obama", "obama2", "obama3"],
    "Josef Bïden": ["biden"],
}


@pytest.fixture
def folder(tmp_path: Path, photo: Photo) -> Path:
    for person, names in PEOPLE.items():
        (tmp_path / person).mkdir()
        for name in names:
            (tmp_path / person / f"{name}.jpg").write_bytes(photo(name))
    return tmp_path


def test_people_are_told_apart(analyzer: Analyzer, folder: Path) -> None:
    seen: list[tuple[int, int]] = []
    found = evaluate(analyzer, folder, threshold=0.6, progress=lambda done, total: seen.append((done, total)))
    assert (found.identities, found.images, found.faces_not_found) == (2, 4, 0)
    assert (found.genuine_pairs, found.impostor_pairs) == (3, 3)
    assert (found.roc_auc, found.accuracy, found.threshold) == (1.0, 1.0, 0.6)
    assert found.tar_at_far == {"1e-2": 1.0, "1e-3": 1.0, "1e-4": 1.0}
    assert seen[-1] == (4, 4)


def test_a_threshold_of_nought_accepts_nobody(analyzer: Analyzer, folder: Path) -> None:
    assert evaluate(analyzer, folder, threshold=0).accuracy == 0.5


def test_a_picture_without_a_face_counts_and_never_matches(analyzer: Analyzer, folder: Path) -> None:
    (folder / "Barack Obama" / "wall.jpg").write_bytes(jpeg(np.full((300, 300, 3), 90, np.uint8)))
    (folder / "Barack Obama" / "notes.jpg").write_text("no picture")
    (folder / "Barack Obama" / ".hidden").write_text("not looked at")
    found = evaluate(analyzer, folder, threshold=0.6)
    assert (found.images, found.faces_not_found) == (6, 2)
    assert (found.genuine_pairs, found.impostor_pairs) == (10, 5)
    assert found.accuracy == pytest.approx((3 + 5) / 15)
    assert found.tar_at_far["1e-2"] == pytest.approx(3 / 10)
    assert set(found.skipped) == {"Barack Obama/wall.jpg", "Barack Obama/notes.jpg"}
    assert found.skipped["Barack Obama/wall.jpg"].startswith("no_face")
    assert found.skipped["Barack Obama/notes.jpg"].startswith("undecodable")


def test_listed_pairs(analyzer: Analyzer, folder: Path, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.csv"
    pairs.write_text(
        "first,second,same person\n"
        "obama.jpg,Barack Obama/obama2.jpg,yes\n"
        "\n"
        "./Josef Bïden/biden.jpg, obama.jpg ,No\n"
        "biden.jpg,obama2.jpg,yes\n",
        "utf-8",
    )
    found = evaluate(analyzer, folder, threshold=0.6, pairs_csv=pairs)
    assert (found.identities, found.images) == (2, 3)
    assert (found.genuine_pairs, found.impostor_pairs) == (2, 1)
    assert found.accuracy == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no pairs"),
        ("first,second,same\n", "no pairs"),
        ("obama.jpg,nobody.jpg,yes\n", "line 1: 0 pictures are called nobody.jpg"),
        ("obama.jpg,biden.jpg,yes\nobama.jpg,biden.jpg\n", "line 2: expected"),
        ("obama.jpg,same.jpg,no\n", "2 pictures are called same.jpg"),
    ],
)
def test_pairs_that_cannot_be_understood(folder: Path, text: str, complaint: str) -> None:
    for person in PEOPLE:
        (folder / person / "same.jpg").write_bytes(b"x")
    (folder / "pairs.csv").write_text(text)
    with pytest.raises(UnusableEvaluation, match=complaint):
        evaluate(DigestAnalyzer(), folder, threshold=0.6, pairs_csv=folder / "pairs.csv")


def test_a_file_of_pairs_that_is_not_there(folder: Path) -> None:
    with pytest.raises(UnusableEvaluation, match="cannot be read"):
        evaluate(DigestAnalyzer(), folder, threshold=0.6, pairs_csv=folder / "none.csv")


def test_a_folder_without_pictures(tmp_path: Path) -> None:
    with pytest.raises(UnusableEvaluation, match="no pictures"):
        evaluate(DigestAnalyzer(), tmp_path, threshold=0.6)


def test_one_identity_alone(analyzer: Analyzer, folder: Path, reference: Model) -> None:
    shutil.rmtree(folder / "Josef Bïden")
    card: Card = reference.card
    found = evaluate(analyzer, folder, threshold=card.threshold())
    assert (found.impostor_pairs, found.roc_auc, found.tar_at_far["1e-2"]) == (0, None, None)
    assert found.accuracy == 1.0


def test_each_group_is_measured_apart(analyzer: Analyzer, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "Josef Bïden", folder / "Josef Bïden's twin")
    (folder / "Barack Obama" / "wall.jpg").write_bytes(jpeg(np.full((300, 300, 3), 90, np.uint8)))
    file = tmp_path / "groups.csv"
    file.write_text("subject_id,hair\nBarack Obama,black\nJosef Bïden,white\nJosef Bïden's twin,white\n", "utf-8")
    [black] = evaluate(analyzer, folder, threshold=0.6, labelling=Labelling.read(file)).groups
    assert (black.by, black.group, black.errors.people) == ("hair", "black", 1)
    assert (black.errors.genuine_pairs, black.errors.fnmr) == (6, 0.5), "a wall is nobody's match"
    (folder / "Josef Bïden" / "again.jpg").write_bytes((folder / "Josef Bïden" / "biden.jpg").read_bytes())
    _, white = evaluate(analyzer, folder, threshold=0.6, labelling=Labelling.read(file)).groups
    assert (white.errors.fnmr, white.errors.fmr, white.errors.impostor_pairs) == (0, 1, 2), "twins pass for each other"
