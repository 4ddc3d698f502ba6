from __future__ import annotations

import time
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from streams import sources
from streams.sources import NetworkCamera, Pictures, SourceError, Video, open_source, shots

FRAMES = 12


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Frames that grow lighter, 20 a second."""
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20, (64, 48))
    for number in range(FRAMES):
        writer.write(np.full((48, 64, 3), number * 20, np.uint8))
    writer.release()
    return path


def test_a_folder_gives_its_files_as_they_are_in_order(tmp_path: Path) -> None:
    for name in ("b.JPG", "a/2.png", "a/1.jpeg", "a.webp", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    source = open_source(str(tmp_path))
    assert source.total == 4
    assert [shot.data for shot in shots(source)] == [b"a/1.jpeg", b"a/2.png", b"a.webp", b"b.JPG"]


def test_a_single_picture(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"not even a picture")
    assert [shot.data for shot in shots(open_source(str(tmp_path / "a.jpg")))] == [b"not even a picture"]


def test_a_video_gives_every_frame_as_jpeg(video: Path) -> None:
    source = open_source(str(video))
    assert (source.total, source.own_fps) == (FRAMES, 20)
    pictures = [cv2.imdecode(np.frombuffer(shot.data, np.uint8), cv2.IMREAD_COLOR) for shot in shots(source, fps=0)]
    levels = [float(picture.mean()) for picture in pictures if picture is not None]
    assert len(levels) == FRAMES
    assert levels == sorted(levels)
    assert pictures[0] is not None and pictures[0].shape == (48, 64, 3)


def test_a_video_is_played_at_its_own_rate(video: Path) -> None:
    began = time.monotonic()
    assert len(list(shots(Video(video)))) == FRAMES
    assert time.monotonic() - began >= (FRAMES - 1) / 20


def test_at_another_rate(video: Path) -> None:
    began = time.monotonic()
    assert len(list(shots(Video(video), fps=100))) == FRAMES
    assert (FRAMES - 1) / 100 <= time.monotonic() - began < (FRAMES - 1) / 20


def test_a_pause_makes_no_burst(video: Path) -> None:
    playing = shots(Video(video), fps=50)
    next(playing)
    time.sleep(0.2)
    next(playing)
    began = time.monotonic()
    list(islice(playing, 5))
    assert time.monotonic() - began >= 4 / 50


def test_loop(video: Path, tmp_path: Path) -> None:
    assert len(list(islice(shots(Video(video), fps=0, loop=True), 3 * FRAMES))) == 3 * FRAMES


def test_a_network_camera_connects_again(video: Path) -> None:
    # A file ends like a camera whose connection breaks.
    camera = NetworkCamera(str(video))
    names = [shot.name for shot in islice(camera.shots(), 2 * FRAMES + 1)]
    assert names[-1].endswith(f"#{2 * FRAMES}")


def test_a_live_source_leaves_out_what_comes_too_fast(video: Path) -> None:
    camera = NetworkCamera(str(video))
    assert sources.is_live(camera)
    shown = [int(shot.name.rpartition("#")[2]) for shot in islice(shots(camera, fps=100), 3)]
    assert shown[0] == 0
    assert shown[2] > 2


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("/nowhere/at/all", "there is no '/nowhere/at/all'"),
        ("37", "camera 37"),
        ("rtsp://user:secret@127.0.0.1:1/live", r"at rtsp://127\.0\.0\.1:1/live"),
    ],
)
def test_what_cannot_be_opened(where: str, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        next(shots(open_source(where)))


def test_what_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("text")
    with pytest.raises(SourceError, match=r"notes\.mp4"):
        next(shots(open_source(str(tmp_path / "notes.mp4"))))


def test_a_folder_without_pictures(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no picture in"):
        next(shots(Pictures(tmp_path)))
