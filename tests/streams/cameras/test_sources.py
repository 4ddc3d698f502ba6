from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from streams.cameras import sources
from streams.cameras.sources import (
    CapturedFrame,
    FrameSource,
    Pictures,
    RecordedSource,
    SourceError,
    UnreadableFrames,
    Video,
    open_source,
)
from tests.models.sample_pictures import LEFT_HALF_RED, encoded

FRAMES = 12
VIDEOS = Path(__file__).with_name("videos")
"""Drawn films that OpenCV cannot write: of a varying rate, HEVC of a phone held upright, trimmed without encoding."""


def shots(source: FrameSource, *, fps: float | None = None, loop: bool = False) -> Iterator[CapturedFrame]:
    """Of a source of which all can be read."""
    for shot in sources.shots(source, fps=fps, loop=loop):
        assert isinstance(shot, CapturedFrame), shot
        yield shot


def split(source: RecordedSource) -> tuple[list[CapturedFrame], list[UnreadableFrames]]:
    every = list(source.shots())
    return [one for one in every if isinstance(one, CapturedFrame)], [
        one for one in every if isinstance(one, UnreadableFrames)
    ]


def write_video(path: Path, code: str, frames: int) -> bytes:
    """Noise, so that every frame takes its place in the file."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), 20, (160, 120))
    random = np.random.default_rng(1)
    for _ in range(frames):
        small = random.integers(0, 255, (12, 16, 3), np.uint8)
        writer.write(np.kron(small, np.ones((10, 10, 1), np.uint8)))
    writer.release()
    return path.read_bytes()


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
    assert source == Pictures(tmp_path)
    assert Pictures(tmp_path).total == 4
    assert [shot.data for shot in shots(source)] == [b"a/1.jpeg", b"a/2.png", b"a.webp", b"b.JPG"]


def test_one_bad_file_ends_nothing(tmp_path: Path) -> None:
    for name in ("1.jpg", "2.jpg", "@eaDir/1.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "gone.jpg").symlink_to("nowhere.jpg")
    seen, [bad] = split(Pictures(tmp_path))
    assert [shot.data for shot in seen] == [b"1.jpg", b"2.jpg"]
    assert bad == UnreadableFrames(1, f"'{tmp_path / 'gone.jpg'}' cannot be read: the link is broken")


def test_a_file_that_vanishes_is_told(tmp_path: Path) -> None:
    for name in ("1.jpg", "2.jpg", "3.jpg"):
        (tmp_path / name).write_bytes(name.encode())
    playing = Pictures(tmp_path).shots()
    next(playing)
    (tmp_path / "2.jpg").unlink()
    bad, last = playing
    assert isinstance(bad, UnreadableFrames)
    assert "2.jpg' cannot be read: No such file" in bad.why
    assert isinstance(last, CapturedFrame)


@pytest.mark.parametrize("name", ["still.avif", "still.heic", "still.pgm", "still.jp2", "still"])
def test_what_is_no_video_is_sent_as_it_is(name: str, tmp_path: Path) -> None:
    data = encoded(Image.fromarray(LEFT_HALF_RED), "AVIF")
    (tmp_path / name).write_bytes(data)
    assert [shot.data for shot in shots(open_source(str(tmp_path / name)))] == [data]


def test_a_single_picture(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"not even a picture")
    assert [shot.data for shot in shots(open_source(str(tmp_path / "a.jpg")))] == [b"not even a picture"]


def test_a_video_gives_every_frame_as_jpeg(video: Path) -> None:
    source = Video(video)
    assert open_source(str(video)) == source
    assert (source.total, source.own_fps) == (FRAMES, 20)
    pictures = [cv2.imdecode(np.frombuffer(shot.data, np.uint8), cv2.IMREAD_COLOR) for shot in shots(source, fps=0)]
    levels = [float(picture.mean()) for picture in pictures if picture is not None]
    assert len(levels) == FRAMES
    assert levels == sorted(levels)
    assert pictures[0] is not None and pictures[0].shape == (48, 64, 3)


def test_a_video_is_played_on_behind_damage(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    whole = write_video(path, "mp4v", 80)
    assert [len(part) for part in split(Video(path))] == [80, 0]
    half, tenth = len(whole) // 2, len(whole) // 10
    path.write_bytes(whole[:half] + bytes(tenth) + whole[half + tenth :])
    seen, [missing] = split(Video(path))
    assert 60 < len(seen) < 80
    assert missing.count == 80 - len(seen)
    assert f"{missing.count} of 80 frames of '{path}' could not be read" in missing.why
    assert seen[-1].name == f"{path}#79"


def test_a_video_that_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    whole = write_video(path, "MJPG", 40)
    path.write_bytes(whole[: len(whole) // 2])
    seen, [missing] = split(Video(path))
    assert len(seen) + missing.count == 40
    assert "could not be read: it is damaged or cut off" in missing.why


def test_a_video_without_a_frame_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    whole = write_video(path, "mp4v", 20)
    start, end = whole.index(b"mdat") + 4, whole.index(b"moov") - 4
    path.write_bytes(whole[:start] + bytes(end - start) + whole[end:])
    with pytest.raises(SourceError, match=r"no frame of .*clip\.mp4' can be read"):
        list(Video(path).shots())


def test_a_film_that_was_trimmed_is_whole() -> None:
    seen, missing = split(Video(VIDEOS / "trimmed.mp4"))
    assert (len(seen), missing) == (19, [])


def test_a_phone_that_was_held_upright() -> None:
    [first, *_], missing = split(Video(VIDEOS / "portrait-hevc.mp4"))
    picture = cv2.imdecode(np.frombuffer(first.data, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (64, 48, 3)
    assert not missing


def test_frames_come_when_the_video_shows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    # A clock of the test's own: as if everything but waiting took no time.
    clock = [0.0]
    monkeypatch.setattr(sources.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(sources.time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    monkeypatch.setattr(sources, "utc_now", lambda: datetime.fromtimestamp(clock[0], UTC))
    video = Video(VIDEOS / "varying.mp4")
    times = [0, 0.05, 0.1, 0.15, 0.5, 1.5]
    assert [shot.at_s for shot in split(video)[0]] == pytest.approx(times, abs=0.001)
    captured = [shot.captured_at for shot in shots(video)]
    assert [at.timestamp() for at in captured if at is not None] == pytest.approx(times, abs=0.001)
    assert clock[0] == pytest.approx(1.5)
    assert {shot.captured_at for shot in shots(video, fps=0)} == {None}


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
