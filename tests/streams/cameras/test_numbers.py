from __future__ import annotations

import json
from pathlib import Path

import pytest

from streams.cameras.numbers import BLOCK, FrameNumbers


def numbers(folder: Path, latest: int | None = None, camera: str = "yard") -> FrameNumbers:
    return FrameNumbers(folder, "home", camera, lambda: latest)


def test_they_go_on_after_an_orderly_end_without_a_gap(tmp_path: Path) -> None:
    first = numbers(tmp_path)
    assert [first.take() for _ in range(3)] == [0, 1, 2]
    first.close()
    assert numbers(tmp_path).take() == 3


def test_none_comes_twice_after_a_kill(tmp_path: Path) -> None:
    first = numbers(tmp_path)
    taken = [first.take() for _ in range(BLOCK + 7)]
    again = numbers(tmp_path).take()
    assert taken[-1] < again <= 2 * BLOCK


def test_they_are_behind_the_latest_answer(tmp_path: Path) -> None:
    assert numbers(tmp_path, 41).take() == 42
    assert numbers(tmp_path, 7).take() == 42 + BLOCK


def test_each_camera_has_its_own_whatever_its_name(tmp_path: Path) -> None:
    one, other = numbers(tmp_path, camera="../ä b"), numbers(tmp_path, camera="x" * 256)
    assert (one.take(), one.take(), other.take()) == (0, 1, 0)
    one.close()
    assert {json.loads(path.read_text())["camera"] for path in tmp_path.iterdir()} == {"../ä b", "x" * 256}


@pytest.mark.parametrize("text", ["", "{}", '{"next": "x"}', "[1]", '{"next": -5}'])
def test_a_damaged_file_counts_as_none(tmp_path: Path, text: str) -> None:
    numbers(tmp_path).take()
    [file] = tmp_path.iterdir()
    file.write_text(text)
    assert numbers(tmp_path, 9).take() == 10


def test_where_nothing_can_be_written_it_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    counting = numbers(tmp_path / "file" / "below", 4)
    assert [counting.take() for _ in range(BLOCK + 2)][-1] == 5 + BLOCK + 1
    assert caplog.text.count("cannot be written") == 1
