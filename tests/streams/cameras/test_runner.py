"""What becomes of a camera's frames. The sender here keeps them; the cameras are real."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.ingest import Mode
from streams.cameras.config import Camera
from streams.cameras.newest import Backoff
from streams.cameras.numbers import FrameNumbers
from streams.cameras.runner import UNDER_WAY, CameraRunner
from streams.cameras.status import CameraMetrics, CameraStatus
from streams.client.delivery_report import Delivered, DeliveryHandle
from streams.client.errors import BackPressure, DeliveryFailed, InvalidEvent, KafkaUnavailable
from tests.streams.cameras.rtsp_server import RtspServer
from tests.waiting import wait_until


class Sender:
    """Keeps what it is sent; delivers at once, or when the test says so."""

    def __init__(self, *, delivers: bool = True) -> None:
        self.delivers = delivers
        self.frames: list[Mapping[str, Any]] = []
        self.handles: list[DeliveryHandle] = []
        self.raises: Callable[[], Exception | None] = lambda: None

    def frame(self, user_id: str, picture: bytes, /, **values: Any) -> DeliveryHandle:
        if (error := self.raises()) is not None:
            raise error
        self.frames.append({"user": user_id, "picture": picture, **values})
        handle = DeliveryHandle("event", user_id, "frames")
        self.handles.append(handle)
        if self.delivers:
            handle.future.set_result(Delivered("frames", 0, 0))
        return handle

    def level(self, at: int) -> float:
        decoded = cv2.imdecode(np.frombuffer(self.frames[at]["picture"], np.uint8), cv2.IMREAD_COLOR)
        assert decoded is not None
        return float(decoded.mean())


@contextmanager
def running(folder: Path, sender: Sender, source: str, **options: Any) -> Iterator[CameraRunner]:
    camera = Camera(name="yard", user="home", source=source, **options)  # type: ignore[arg-type]
    numbers = FrameNumbers(folder / "numbers", "home", "yard", lambda: None)
    runner = CameraRunner(camera, sender, numbers, backoff=Backoff(0.2))
    stop = threading.Event()
    thread = threading.Thread(target=runner.run, args=(stop,), daemon=True)
    thread.start()
    try:
        yield runner
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()


def even(_: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A room in which nothing happens."""
    picture = np.full((size[1], size[0], 3), 90, np.uint8)
    picture[: size[1] // 2] = 150
    return picture


def test_frames_are_sent_with_number_time_and_question(tmp_path: Path) -> None:
    sender = Sender()
    with RtspServer(clock_ahead_s=20) as server:
        with running(tmp_path, sender, server.address, motion=False, mode="search", fps=0.0) as runner:
            wait_until(lambda: len(sender.frames) >= 8)
        assert CameraStatus.of(runner).ended
    assert [one["sequence"] for one in sender.frames] == list(range(len(sender.frames)))
    assert {(one["user"], one["camera_id"], one["mode"]) for one in sender.frames} == {("home", "yard", Mode.SEARCH)}
    ahead = [(one["captured_at"] - datetime.now(UTC)).total_seconds() for one in sender.frames]
    assert max(ahead) > 5, "the camera's own time"
    assert runner.clock.ahead_s == pytest.approx(20, abs=5)
    assert runner.counts.delivered == len(sender.frames)


def test_the_time_of_arrival_where_the_cameras_clock_is_wrong(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sender = Sender()
    with RtspServer(clock_ahead_s=-86_400) as server, running(tmp_path, sender, server.address, motion=False):
        wait_until(lambda: len(sender.frames) >= 3)
    assert all(abs(one["captured_at"] - datetime.now(UTC)).total_seconds() < 60 for one in sender.frames)
    assert caplog.text.count("s behind: its frames get the time of their arrival") == 1


def test_while_kafka_takes_nothing_memory_is_bounded_and_then_the_newest_frame_comes_first(tmp_path: Path) -> None:
    sender = Sender(delivers=False)
    with (
        RtspServer() as server,
        running(tmp_path, sender, server.address, motion=False, fps=0.0) as runner,
    ):
        wait_until(lambda: runner.read.read > 40)
        assert len(sender.frames) == UNDER_WAY
        assert CameraStatus.of(runner).dropped > 20
        before, shown = time.time(), server.frames
        for handle in list(sender.handles):
            handle.future.set_exception(DeliveryFailed("gone", ["event"]))
        wait_until(lambda: len(sender.frames) > UNDER_WAY)
        taken = sender.frames[UNDER_WAY]["captured_at"].timestamp()
        assert taken > before - 1, f"of {shown} frames not an old one"
        assert runner.counts.failed == UNDER_WAY
        assert CameraStatus.of(runner).problem == "gone"
        for handle in sender.handles[UNDER_WAY:]:
            handle.future.set_result(Delivered("frames", 0, 0))


@pytest.mark.parametrize("error", [BackPressure("full"), KafkaUnavailable("no broker")])
def test_what_finds_no_room_is_dropped_and_its_number_is_used_again(tmp_path: Path, error: Exception) -> None:
    sender, away = Sender(), threading.Event()
    away.set()
    sender.raises = lambda: error if away.is_set() else None
    with RtspServer() as server, running(tmp_path, sender, server.address, motion=False, fps=0.0) as runner:
        wait_until(lambda: runner.counts.no_room)
        assert CameraStatus.of(runner).problem == str(error)
        away.clear()
        wait_until(lambda: len(sender.frames) > 2)
        assert CameraStatus.of(runner).problem is None
    assert [one["sequence"] for one in sender.frames[:3]] == [0, 1, 2]


def test_a_frame_that_no_worker_would_take_ends_nothing(tmp_path: Path) -> None:
    sender = Sender()
    sender.raises = lambda: InvalidEvent("too large") if runner.counts.refused < 2 else None
    with RtspServer() as server, running(tmp_path, sender, server.address, motion=False, fps=0.0) as runner:
        wait_until(lambda: sender.frames)
    assert runner.counts.refused == 2


def test_an_error_that_nobody_expected_is_kept_for_the_process(tmp_path: Path) -> None:
    sender = Sender()
    sender.raises = lambda: DeliveryFailed("the client cannot go on", [])
    with RtspServer() as server, running(tmp_path, sender, server.address, motion=False) as runner:
        wait_until(lambda: runner.ended)
    assert isinstance(runner.fatal, DeliveryFailed)


def test_where_nothing_moves_a_picture_is_sent_now_and_then(tmp_path: Path) -> None:
    sender = Sender()
    with (
        RtspServer(picture=even) as server,
        running(tmp_path, sender, server.address, fps=0.0, still_every_s=0.6) as runner,
    ):
        wait_until(lambda: runner.counts.still > 10)
        sent, still = len(sender.frames), runner.counts.still
        wait_until(lambda: len(sender.frames) >= sent + 2)
        assert runner.counts.still - still > 2 * (len(sender.frames) - sent)
        assert runner.gate is not None and runner.gate.changed < 0.003


def test_a_video_is_sent_at_its_own_pace_and_ends(tmp_path: Path) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 20, (64, 48))
    for number in range(20):
        writer.write(np.full((48, 64, 3), number * 10, np.uint8))
    writer.release()
    sender = Sender()
    began = time.monotonic()
    with running(tmp_path, sender, str(tmp_path / "clip.avi"), fps=5.0, motion=False) as runner:
        wait_until(lambda: runner.ended)
        assert time.monotonic() - began >= 0.9
    assert 4 <= len(sender.frames) <= 7
    assert (runner.read.read, runner.counts.unreadable, runner.fatal) == (20, 0, None)
    assert sender.level(-1) > sender.level(0)


def test_a_folder_is_sent_whole(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(3):
        cv2.imwrite(str(tmp_path / "photos" / f"{number}.png"), np.full((48, 64, 3), 100, np.uint8))
    sender = Sender()
    with running(tmp_path, sender, str(tmp_path / "photos"), fps=100.0) as runner:
        wait_until(lambda: runner.ended)
    assert (len(sender.frames), runner.counts.still) == (3, 0)


def test_metrics_tell_of_each_camera(tmp_path: Path) -> None:
    sender = Sender()
    with RtspServer() as server, running(tmp_path, sender, server.address) as runner:
        wait_until(lambda: runner.counts.delivered > 1)
        server.cut()
        wait_until(lambda: CameraStatus.of(runner).reconnects)
        metrics = {one.name: one for one in CameraMetrics(lambda: [CameraStatus.of(runner)]).collect()}
    outcomes = {one.labels["outcome"]: one.value for one in metrics["facestream_camera_frames"].samples}
    assert outcomes["read"] > outcomes["delivered"] > 1
    [reconnects] = metrics["facestream_camera_reconnects"].samples
    assert (reconnects.value, reconnects.labels) == (1, {"user": "home", "camera": "yard"})
    [last] = metrics["facestream_camera_last_frame_timestamp_seconds"].samples
    assert 0 <= time.time() - last.value < 60
