"""Folders as they come from shares and phones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from models.pictures.folders import folders_of, is_system, pictures_below


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def named(folder: Path, paths: list[Path]) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in paths}


@pytest.mark.parametrize(
    "name",
    [
        *(".DS_Store", "._1.jpg", ".Trashes", "@eaDir", "@EADIR", "#recycle", "@Recycle", "$RECYCLE.BIN", "lost+found"),
        *("System Volume Information", "Thumbs.db", "desktop.ini", "__MACOSX", "1.jpg@SynoEAStream", "#snapshot"),
    ],
)
def test_what_machines_make_for_themselves(name: str) -> None:
    assert is_system(name)


@pytest.mark.parametrize("name", ["anna", "@anna", "#1", "$anna", "1.jpg", "recycling", "_anna"])
def test_what_people_make(name: str) -> None:
    assert not is_system(name)


def test_only_files_called_like_pictures_are_pictures(tmp_path: Path) -> None:
    put(tmp_path, "a/1.jpg", "a/2.HEIC", "a/deep/3.pgm", "b.JP2", "notes.txt", "film.mov", "1.jpg/inside.png")
    put(tmp_path, "a/@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg", "#recycle/gone.jpg", "a/._1.jpg", "a/Thumbs.db")
    (tmp_path / "a" / "link.jpg").symlink_to("1.jpg")
    (tmp_path / "a" / "gone.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "a" / "round").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "a" / "pipe.jpg")
    found = pictures_below(tmp_path)
    files = {"1.jpg/inside.png", "a/1.jpg", "a/2.HEIC", "a/deep/3.pgm", "a/link.jpg", "b.JP2"}
    assert named(tmp_path, found.pictures) == files
    assert found.pictures == sorted(found.pictures)
    assert named(tmp_path, found.left_out) == {"#recycle", "a/@eaDir", "a/._1.jpg", "a/Thumbs.db", "a/round"}
    assert found.unreadable == {tmp_path / "a" / "gone.jpg": "the link is broken"}
    assert "5 hidden or system files" in found.left_out_in_words
    assert named(tmp_path, pictures_below(tmp_path, depth=1).pictures) == {"b.JP2"}


def test_where_the_name_says_nothing_the_file_does(tmp_path: Path) -> None:
    (tmp_path / "1").write_bytes(b"P5 1 1 255 x")
    (tmp_path / "anna.002").write_bytes(b"\xff\xd8\xff")
    put(tmp_path, "LICENSE", "anna.003")
    os.mkfifo(tmp_path / "pipe")
    assert named(tmp_path, pictures_below(tmp_path).pictures) == {"1", "anna.002"}


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    found = pictures_below(tmp_path / "gone")
    assert found.pictures == []
    assert list(found.unreadable) == [tmp_path / "gone"]


def test_a_folder_of_each_person(tmp_path: Path) -> None:
    put(tmp_path, "anna/1.jpg", "@eaDir/anna/1.jpg", "#recycle/1.jpg", "loose.jpg")
    (tmp_path / "otto").symlink_to("anna")
    folders, left_out = folders_of(tmp_path)
    assert named(tmp_path, folders) == {"anna", "otto"}
    assert named(tmp_path, left_out) == {"@eaDir", "#recycle"}
