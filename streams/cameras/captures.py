"""Pictures out of OpenCV's sources of video, and what every source gives."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import cv2

STREAM_SCHEMES = ("rtsp://", "rtsps://")
_JPEG_QUALITY = 90
_NETWORK_TIMEOUT_MS = 5_000


class SourceError(Exception):
    """A source cannot be opened, or has no picture; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class CapturedFrame:
    """One encoded picture and what to call it when something is wrong with it.

    Attributes:
        name: what to call it.
        data: the encoded picture.
        at_s: when it is shown, in seconds from the beginning of the video that it is out of.
        captured_at: when it was taken, where that is not now.
    """

    name: str
    data: bytes
    at_s: float | None = None
    captured_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class UnreadableFrames:
    """Pictures of a source that cannot be read: how many, and in words which and why."""

    count: int
    why: str


def opened(what: str | int, otherwise: str) -> cv2.VideoCapture:
    """Open a file, a camera or an address.

    Raises:
        SourceError: with the message ``otherwise``, where that is not possible.
    """
    # Its own words on stderr would stand between the lines of the command line.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    import cv2

    network: list[Any] = []
    if isinstance(what, str) and what.startswith(STREAM_SCHEMES):
        timeouts = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, cv2.CAP_PROP_READ_TIMEOUT_MSEC)
        network = [cv2.CAP_FFMPEG, [part for name in timeouts for part in (name, _NETWORK_TIMEOUT_MS)]]
    capture = cv2.VideoCapture(what, *network)
    if not capture.isOpened():
        raise SourceError(otherwise)
    return capture


def frames(capture: cv2.VideoCapture) -> Iterator[bytes]:
    """Frames as JPEG, until one cannot be read."""
    while (data := frame(capture)) is not None:
        yield data


def frame(capture: cv2.VideoCapture) -> bytes | None:
    """The next frame as JPEG; None if it cannot be read, or there is none."""
    import cv2

    there, pixels = capture.read()
    if not there:
        return None
    encoded, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return data.tobytes() if encoded else None
