"""Looks once at every camera of a file, without sending anything."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

from streams.cameras.captures import CapturedFrame, SourceError
from streams.cameras.config import Camera
from streams.cameras.live import LocalCamera
from streams.cameras.network import NetworkCamera
from streams.cameras.sources import open_source

_AT_ONCE = 16
_CLOCK_S = 3.0
"""A camera has this long to tell its time; most do within a second or two of their first frame."""


@dataclass(frozen=True, slots=True)
class CameraFinding:
    """What one camera shows.

    Attributes:
        source: its address without a password, or its file.
        size: width and height of its first picture in pixels; None if there is none.
        clock_ahead_s: how far its clock is ahead of this machine's; None where it tells no time.
        problem: why there is no picture.
    """

    user: str
    camera: str
    source: str
    size: tuple[int, int] | None = None
    clock_ahead_s: float | None = None
    problem: str | None = None


def look(cameras: Sequence[Camera]) -> list[CameraFinding]:
    """Look at all of them, many at once; a camera that does not answer takes some seconds."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(_look, cameras))


def _look(camera: Camera) -> CameraFinding:
    name = "its source"
    size, ahead_s, problem = None, None, "it gives no picture"
    try:
        source = open_source(camera.source.get_secret_value())
        if isinstance(source, LocalCamera | NetworkCamera):
            name = source.name
            with closing(source.frames()) as frames:
                until = time.monotonic() + _CLOCK_S
                for frame in frames:
                    if size is None:
                        height, width = frame.pixels().shape[:2]
                        size, problem = (width, height), ""
                    if frame.camera_time is not None:
                        ahead_s = (frame.camera_time - frame.arrived_at).total_seconds()
                        break
                    if time.monotonic() > until:
                        break
        else:
            name = camera.source.get_secret_value()
            size = next((_size(shot.data) for shot in source.shots() if isinstance(shot, CapturedFrame)), None)
            problem = "" if size else "its first picture cannot be decoded"
    except SourceError as error:
        problem = str(error)
    return CameraFinding(camera.user, camera.name, name, size, ahead_s, problem or None)


def _size(picture: bytes) -> tuple[int, int] | None:
    import cv2
    import numpy as np

    pixels = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    return None if pixels is None else (pixels.shape[1], pixels.shape[0])
