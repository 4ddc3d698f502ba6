"""``facestream camera`` with real cameras and a real Kafka: cut, killed and started again, it numbers on."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from schemas.codec import decode
from schemas.ingest import Frame
from streams.kafka.log_reader import read_topic
from streams.kafka.topics import Topic
from streams.settings import Settings
from tests.streams.cameras.rtsp_server import RtspServer
from tests.streams.cli import preloaded
from tests.streams.cli.conftest import Run, run
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def topics(cluster: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Settings:
    created = run(("topics", "create"), cluster, tmp_path_factory.mktemp("topics"))
    assert created.code == 0, created.err
    return Settings(kafka=cluster["FACESTREAM_KAFKA"], topic_prefix=cluster["FACESTREAM_TOPIC_PREFIX"], partitions=2)


def frames_of(settings: Settings, user: str) -> list[Frame]:
    frames = [decode(message.value, Frame) for message in read_topic(settings, Topic.FRAMES)]
    return [frame for frame in frames if frame.user_id == user]


def listing(folder: Path, user: str, *sources: str, **options: object) -> Path:
    """A file with a camera for each source."""
    lines = [f"[defaults]\nuser = {json.dumps(user)}"]
    lines += [f"{name} = {json.dumps(value)}" for name, value in options.items()]
    lines += [f'[[camera]]\nname = "camera-{at}"\nsource = {json.dumps(one)}' for at, one in enumerate(sources)]
    file = folder / "cameras.toml"
    file.write_text("\n".join(lines))
    return file


class Process:
    """A ``facestream camera`` that runs."""

    def __init__(self, process: preloaded.Started, log: Path) -> None:
        self.process, self.log = process, log
        self.address = wait_until(lambda: re.search(r"health at (http://\S+)/healthz", log.read_text()))[1]

    def report(self) -> dict[str, Any]:
        answer: dict[str, Any] = requests.get(f"{self.address}/healthz", timeout=10).json()
        return answer

    def camera(self, at: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = self.report()["cameras"][at]
        return found


@contextmanager
def camera(file: Path, env: dict[str, str]) -> Iterator[Process]:
    log = file.with_suffix(f".{time.monotonic_ns()}.log")
    with log.open("wb") as output:
        process = preloaded.start(["camera", str(file)], env, file.parent, output, output)
    try:
        yield Process(process, log)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(20)


def test_a_camera_is_sent_through_cuts_kills_and_ends(
    cluster: dict[str, str], topics: Settings, tmp_path: Path
) -> None:
    with RtspServer(password="open-sesame") as server:
        source = server.with_password("${YARD}")
        file = listing(tmp_path, "yard", source, "rtsp://u:hidden@127.0.0.1:1/live", fps=20, motion=False)
        env = cluster | {"YARD": "open-sesame"}
        with camera(file, env) as first:
            wait_until(lambda: first.camera()["delivered"] >= 5)
            server.cut()
            wait_until(lambda: first.camera()["reconnects"] == 1)
            before = first.camera()["delivered"]
            wait_until(lambda: first.camera()["delivered"] >= before + 5)
            ready = requests.get(f"{first.address}/readyz", timeout=10)
            away = ready.json()["cameras"][1]
            assert ready.status_code == 200, "a camera that is away makes nothing unready"
            assert (away["connected"], away["read"]) == (False, 0)
            assert "nothing can be seen at rtsp://127.0.0.1:1/live" in away["problem"]
            shown = requests.get(f"{first.address}/metrics", timeout=10).text
            assert 'facestream_camera_reconnects_total{camera="camera-0",user="yard"} 1.0' in shown
            killed_at = first.camera()["delivered"]
        with camera(file, env) as second:
            wait_until(lambda: second.camera()["delivered"] >= 5)
            second.process.send_signal(signal.SIGTERM)
            assert second.process.wait(20) == 0
            delivered = int(re.findall(r"yard/camera-0: (\d+) frames? delivered", second.log.read_text())[-1])
        said = first.log.read_text() + second.log.read_text()
    assert "open-sesame" not in said
    assert "hidden" not in said
    frames = frames_of(topics, "yard")
    numbers = [frame.sequence for frame in frames]
    assert len(frames) >= killed_at + delivered
    assert numbers == sorted(set(numbers)), "none twice, and in their order"
    assert len({frame.event_id for frame in frames}) == len(frames)
    assert all((frame.picture.data or b"").startswith(b"\xff\xd8") for frame in frames)


def test_it_ends_with_its_videos_and_says_what_is_damaged(facestream: Run, topics: Settings, tmp_path: Path) -> None:
    import cv2
    import numpy as np

    (tmp_path / "photos").mkdir()
    for name in ("1.png", "2.png"):
        cv2.imwrite(str(tmp_path / "photos" / name), np.zeros((48, 64, 3), np.uint8))
    ended = facestream("camera", listing(tmp_path, "photos", "photos", fps=0), "--json")
    assert ended.code == 0, ended.err
    assert (ended.json["cameras"][0]["delivered"], ended.json["cameras"][0]["ended"]) == (2, True)
    assert [frame.camera_id for frame in frames_of(topics, "photos")] == ["camera-0"] * 2
    (tmp_path / "photos" / "3.png").symlink_to("nowhere")
    assert facestream("camera", tmp_path / "cameras.toml").code == 1


def test_play_sends_a_network_camera(facestream: Run, topics: Settings) -> None:
    with RtspServer(clock_ahead_s=30) as server:
        played = facestream("play", server.address, "-u", "player", "--count", "5", "--json")
    assert played.code == 0, played.err
    assert played.json["delivered"] == 5
    frames = frames_of(topics, "player")
    assert [frame.sequence for frame in frames] == list(range(5))
    assert frames[-1].captured_at.timestamp() > time.time() - 60


def test_check_looks_at_each_camera_and_sends_nothing(offline: Run, tmp_path: Path) -> None:
    with RtspServer(codec="libx265", clock_ahead_s=100, password="pw") as server:
        good, bad = server.with_password("pw"), server.with_password("wrong-one")
        ended = offline("camera", listing(tmp_path, "home", good, bad, "gone.mp4"), "--check", "--json")
    assert ended.code == 1
    first, second, third = ended.json["cameras"]
    assert (first["size"], first["problem"]) == ([160, 120], None)
    assert first["clock_ahead_s"] == pytest.approx(100, abs=10)
    assert "does not accept user and password" in second["problem"]
    assert "gone.mp4" in third["problem"]
    assert "wrong-one" not in ended.out + ended.err
    shown = offline("camera", tmp_path / "cameras.toml", "--check")
    assert "home/camera-0" in shown.out


def test_a_file_that_is_wrong_is_said_in_one_line(offline: Run, tmp_path: Path) -> None:
    file = listing(tmp_path, "home", "0", fsp=3)
    ended = offline("camera", file)
    assert ended.code == 1
    assert ended.err.startswith(f"facestream: {file}: camera 1 (camera-0) has an unknown key fsp; did you mean fps?")
