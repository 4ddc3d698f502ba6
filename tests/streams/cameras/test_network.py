"""Cameras behind an address, read from a real RTSP server on loopback."""

from __future__ import annotations

import gc
import logging
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import islice

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from streams.cameras import network
from streams.cameras.captures import SourceError
from streams.cameras.live import AccessDenied, LiveFrame
from streams.cameras.network import NetworkCamera
from streams.cameras.newest import Backoff, NewestFrame
from streams.cameras.sources import CapturedFrame, open_source, shots
from tests.streams.cameras.rtsp_server import RtspServer
from tests.waiting import wait_until

QUICK = Backoff(0.2)


@pytest.fixture
def server() -> Iterator[RtspServer]:
    with RtspServer() as running:
        yield running


def level(pixels: NDArray[np.uint8]) -> float:
    return float(pixels.mean())


def seen(camera: NewestFrame) -> LiveFrame:
    """The next frame, however long a busy machine takes."""
    frame = camera.take(60)
    assert frame is not None
    return frame


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_frames_come_over_tcp_with_the_time_of_the_camera(codec: str) -> None:
    with RtspServer(codec=codec, clock_ahead_s=10) as server:
        assert open_source(server.address) == NetworkCamera(server.address)
        frames = list(islice(NetworkCamera(server.address).frames(), 6))
        assert ["TCP" in one for one in server.transports] == [True]
    assert {frame.pixels().shape for frame in frames} == {(120, 160, 3)}
    levels = [level(frame.pixels()) for frame in frames]
    # None is missing, and none comes twice: each is 8 levels lighter than the one before, or the first of a new round.
    assert np.diff(levels) % 200 == pytest.approx([8] * 5, abs=1.5)
    for frame in frames[1:]:
        assert frame.camera_time is not None
        # On its way and in the decoder for a while.
        assert 0 < (frame.camera_time - frame.arrived_at).total_seconds() <= 10.05


def test_a_camera_that_tells_no_time() -> None:
    with RtspServer(clock_ahead_s=None) as server:
        assert [frame.camera_time for frame in islice(NetworkCamera(server.address).frames(), 3)] == [None] * 3


@pytest.mark.parametrize("basic", [True, False])
def test_a_password(basic: bool) -> None:
    with RtspServer(password="open-sesame", basic=basic) as server:
        assert len(list(islice(NetworkCamera(server.with_password("open-sesame")).frames(), 2))) == 2
        for address in (server.with_password("wrong"), server.address):
            with pytest.raises(AccessDenied) as refused:
                next(NetworkCamera(address).frames())
            assert "wrong" not in str(refused.value)
            assert server.address in str(refused.value)
            assert refused.value.__cause__ is None


def test_a_wrong_password_is_not_tried_again_and_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with RtspServer(password="right") as server:
        with closing(NewestFrame(NetworkCamera(server.with_password("wrong")))) as camera:
            wait_until(lambda: camera.counts.problem)
            refused = server.refused
            assert camera.take(1.5) is None
            assert server.refused == refused > 0
        assert "wrong" not in caplog.text
        assert "connecting again in 30.0 s" in caplog.text


def test_a_broken_connection_is_made_again(server: RtspServer) -> None:
    with closing(NewestFrame(NetworkCamera(server.address), backoff=QUICK)) as camera:
        seen(camera)
        server.cut()
        wait_until(lambda: camera.counts.connections == 2)
        assert seen(camera)
        assert camera.counts.problem is None


def test_a_camera_that_goes_away_for_a_while(server: RtspServer) -> None:
    with closing(NewestFrame(NetworkCamera(server.address), backoff=QUICK, patient=False)) as camera:
        seen(camera)
        server.stop()
        wait_until(lambda: "refused" in (camera.counts.problem or ""))
        assert not camera.counts.connected
        server.start()
        wait_until(lambda: camera.counts.connections == 2)
        assert seen(camera)


def test_a_camera_that_falls_silent(server: RtspServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "_READ_S", 1.0)
    with closing(NewestFrame(NetworkCamera(server.address), backoff=QUICK)) as camera:
        seen(camera)
        server.silent = True
        wait_until(lambda: camera.counts.problem)
        server.silent = False
        wait_until(lambda: camera.counts.connections > 1)
        assert seen(camera)


def test_what_is_no_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "_OPEN_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"rtsp://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(SourceError, match=f"{address} does not answer"):
            next(NetworkCamera(address).frames())


def test_another_resolution_in_the_same_connection(server: RtspServer) -> None:
    with closing(NewestFrame(NetworkCamera(server.address))) as camera:
        assert seen(camera).pixels().shape == (120, 160, 3)
        server.size = (320, 200)
        wait_until(lambda: seen(camera).pixels().shape == (200, 320, 3))
        assert camera.counts.connections == 1


@pytest.mark.parametrize(("turned", "light"), [(90, np.s_[:, :50]), (-90, np.s_[:, -50:]), (180, np.s_[-50:])])
def test_a_camera_that_hangs_on_its_side(turned: int, light: tuple[slice, ...]) -> None:
    def lit_above(_: int, size: tuple[int, int]) -> NDArray[np.uint8]:
        picture = np.full((size[1], size[0], 3), 20, np.uint8)
        picture[: size[1] // 2] = 220
        return picture

    with RtspServer(turned=turned, picture=lit_above) as server:
        *_, last = islice(NetworkCamera(server.address).frames(), 3)
    pixels = last.pixels()
    assert pixels.shape == ((160, 120, 3) if abs(turned) == 90 else (120, 160, 3))
    assert pixels[light].min() > 150
    assert (pixels.max(), pixels.mean() < 150) == (pixels[light].max(), True)


def test_who_is_slow_gets_the_newest(server: RtspServer) -> None:
    with closing(NewestFrame(NetworkCamera(server.address))) as camera:
        seen(camera)
        wait_until(lambda: camera.counts.read > 20)
        frame, read = seen(camera), camera.counts.read
        assert camera.counts.overtaken >= 15
        assert (time.time() - frame.arrived_at.timestamp()) < 5
        assert read <= camera.counts.read


def test_who_wants_few_gets_few_and_none_counts_as_missed(server: RtspServer) -> None:
    with closing(NewestFrame(NetworkCamera(server.address), fps=4)) as camera:
        began = seen(camera).arrived_at
        last = [seen(camera) for _ in range(4)][-1]
        assert (last.arrived_at - began).total_seconds() >= 0.7
        assert camera.counts.read >= 12


def test_frames_are_gone_when_nobody_needs_them(server: RtspServer) -> None:
    """Without waiting for a collection: a hundred of them are half a gigabyte."""
    gc.collect()
    gc.disable()
    try:
        with closing(NewestFrame(NetworkCamera(server.address))) as camera:
            for _ in range(20):
                assert seen(camera).pixels().size
            kept = [one for one in gc.get_objects() if isinstance(one, av.VideoFrame)]
    finally:
        gc.enable()
    assert len(kept) < 8


def test_it_plays(server: RtspServer) -> None:
    playing = shots(open_source(server.address), fps=10)
    first, second = islice(playing, 2)
    assert isinstance(first, CapturedFrame)
    assert isinstance(second, CapturedFrame)
    assert first.data.startswith(b"\xff\xd8")
    assert first.captured_at is not None
    assert second.captured_at is not None
    assert second.captured_at > first.captured_at


def test_what_is_not_there_is_an_error_at_the_start() -> None:
    with pytest.raises(SourceError, match=r"nothing can be seen at rtsp://127\.0\.0\.1:1/live: connection refused"):
        next(shots(open_source("rtsp://user:secret@127.0.0.1:1/live")))
