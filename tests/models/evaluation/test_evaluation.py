from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from models.analysis.analyzer import Analyzer
from models.embedder.card import Card
from models.embedder.model import Model
from models.evaluation.evaluation import UnusableEvaluation, evaluate
from models.evaluation.groups import Labelling
from models.testing.digest import DigestAnalyzer
from tests.models.conftest import Photo
from tests.models.sample_pictures import jpeg

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
    assert found.skipped_by_reason == {"no_face": 1, "undecodable": 1}
    assert found.left_out == ["Barack Obama/.hidden"]
    assert found.says_nothing is None


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
    ("text", "message"),
    [
        ("", "no pairs"),
        ("first,second,same\n", "no pairs"),
        ("obama.jpg,nobody.jpg,yes\n", "line 1: 0 pictures are called nobody.jpg"),
        ("obama.jpg,biden.jpg,yes\nobama.jpg,biden.jpg\n", "line 2: expected"),
        ("obama.jpg,same.jpg,no\n", "2 pictures are called same.jpg"),
    ],
)
def test_pairs_that_cannot_be_understood(folder: Path, text: str, message: str) -> None:
    for person in PEOPLE:
        (folder / person / "same.jpg").write_bytes(b"x")
    (folder / "pairs.csv").write_text(text)
    with pytest.raises(UnusableEvaluation, match=message):
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


def test_nothing_is_told_from_nothing(analyzer: Analyzer, tmp_path: Path) -> None:
    for name in ("anna/1.jpg", "anna/2.jpg", "otto/1.png", "otto/2.HEIC", "otto/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no picture")
    (tmp_path / "otto" / "wall.jpg").write_bytes(jpeg(np.full((300, 300, 3), 90, np.uint8)))
    found = evaluate(analyzer, tmp_path, threshold=0.6)
    assert (found.images, found.faces_not_found) == (5, 5)
    assert (found.roc_auc, found.accuracy, set(found.tar_at_far.values())) == (None, None, {None})
    assert found.says_nothing == "no face to compare in any of 5 pictures: 4 undecodable, 1 no_face"


def test_one_picture_alone(analyzer: Analyzer, folder: Path) -> None:
    shutil.rmtree(folder / "Barack Obama")
    found = evaluate(analyzer, folder, threshold=0.6)
    assert (found.images, found.faces_not_found, found.roc_auc, found.accuracy) == (1, 0, None, None)
    assert "no pair" in (found.says_nothing or "")


def test_one_picture_of_each_and_one_face(analyzer: Analyzer, folder: Path) -> None:
    for name in ("obama", "obama2", "obama3"):
        (folder / "Barack Obama" / f"{name}.jpg").write_text("no picture")
    found = evaluate(analyzer, folder, threshold=0.6)
    assert (found.faces_not_found, found.roc_auc, found.accuracy) == (3, None, None)


def test_what_a_nas_keeps_beside_the_pictures(folder: Path) -> None:
    for name in ("#recycle/old.jpg", "@eaDir/thumb.jpg", ".cache/a.jpg", "Barack Obama/@eaDir/obama.jpg/thumb.jpg"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(b"x")
    (folder / "Barack Obama" / "Thumbs.db").write_bytes(b"x")
    (folder / "Barack Obama" / "._obama.jpg").write_bytes(b"x")
    (folder / "Barack Obama" / "gone.jpg").symlink_to("nowhere.jpg")
    (folder / "Barack Obama" / "folder.jpg").mkdir()
    found = evaluate(DigestAnalyzer(), folder, threshold=0.6)
    assert (found.identities, found.images) == (2, 4)
    beside = {f"Barack Obama/{name}" for name in ("@eaDir", "Thumbs.db", "._obama.jpg")}
    assert set(found.left_out) == {"#recycle", "@eaDir", ".cache"} | beside
    assert found.skipped == {"Barack Obama/gone.jpg": "uri_unreadable: the link is broken"}


def test_listed_pairs_of_pictures_that_lie_flat(analyzer: Analyzer, tmp_path: Path, photo: Photo) -> None:
    for name in ("obama", "obama2", "obama3", "biden"):
        (tmp_path / f"{name}.jpg").write_bytes(photo(name))
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("obama.jpg;obama2.jpg;1\nobama2.jpg;obama3.jpg;1\nobama.jpg;biden.jpg;0\n")
    found = evaluate(analyzer, tmp_path, threshold=0.6, pairs_csv=pairs)
    assert (found.identities, found.images, found.genuine_pairs, found.impostor_pairs) == (2, 4, 2, 1)
    assert (found.roc_auc, found.accuracy) == (1.0, 1.0)


def test_the_pairs_of_lfw(tmp_path: Path) -> None:
    for name in ("Ann_Lee/Ann_Lee_0001.jpg", "Ann_Lee/Ann_Lee_0002.jpg", "Bo_Ek/Bo_Ek_0010.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    pairs = tmp_path / "pairs.txt"
    pairs.write_text("1\t1\nAnn_Lee\t1\t2\nAnn_Lee\t2\tBo_Ek\t10\n")
    found = evaluate(DigestAnalyzer(), tmp_path, threshold=0.6, pairs_csv=pairs)
    assert (found.identities, found.genuine_pairs, found.impostor_pairs) == (2, 1, 1)
