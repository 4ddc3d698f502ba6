"""Pictures out of OpenCV's sources of video, and what every source gives."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import cv2
    from cv2.typing import MatLike

STREAM_SCHEMES = ("rtsp://", "rtsps://")
JPEG_QUALITY = 90


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
    """Open a file or a camera.

    Raises:
        SourceError: with the message ``otherwise``, where that is not possible.
    """
    # Its own words on stderr would stand between the lines of the command line.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    import cv2

    capture = cv2.VideoCapture(what)
    if not capture.isOpened():
        raise SourceError(otherwise)
    return capture


def frame(capture: cv2.VideoCapture) -> bytes | None:
    """The next frame as JPEG; None if it cannot be read, or there is none."""
    there, pixels = capture.read()
    return encoded(pixels) if there else None


def encoded(pixels: MatLike, quality: int = JPEG_QUALITY) -> bytes | None:
    """A picture, uint8 BGR, as JPEG; None if it is larger than a JPEG can be."""
    import cv2

    done, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data.tobytes() if done else None
