"""Where frames come from: folders, video files, cameras, RTSP addresses."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tenacity import Retrying, before_sleep_log, retry_if_exception_type, wait_exponential

if TYPE_CHECKING:
    import cv2

LOG = logging.getLogger(__name__)

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
_STREAM_SCHEMES = ("rtsp://", "rtsps://")
_JPEG_QUALITY = 90
_NETWORK_TIMEOUT_MS = 5_000


class SourceError(Exception):
    """A source cannot be opened, or has no picture; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class Shot:
    """One encoded picture and what to call it when something is wrong with it."""

    name: str
    data: bytes


class Source(Protocol):
    """Pictures one after another."""

    @property
    def total(self) -> int | None:
        """How many pictures one round has, where that is known."""

    @property
    def own_fps(self) -> float | None:
        """The rate at which to play it, where it has one; a camera keeps time by itself."""

    def shots(self) -> Iterator[Shot]:
        """One round of it; a camera's never ends.

        Raises:
            SourceError: it cannot be opened.
        """


def open_source(where: str) -> Source:
    """Find out what a source is: a folder, a picture, a video file, the number of a camera or an RTSP address.

    Raises:
        SourceError: it is none of them.
    """
    if where.isdecimal():
        return Camera(int(where))
    if where.startswith(_STREAM_SCHEMES):
        return NetworkCamera(where)
    path = Path(where)
    if path.is_dir() or (path.is_file() and path.suffix.lower() in PICTURE_SUFFIXES):
        return Pictures(path)
    if path.is_file():
        return Video(path)
    raise SourceError(
        f"there is no {where!r}: give a folder of pictures, a picture, a video file, a camera's number or rtsp://…"
    )


def shots(source: Source, *, fps: float | None = None, loop: bool = False) -> Iterator[Shot]:
    """Take the pictures of a source, waiting between them.

    Args:
        source: what to play.
        fps: pictures a second, 0: as fast as they come; default: the source's own rate. Every picture of a folder or
            file is given; a camera's that come faster are left out.
        loop: begin anew when a round ends.

    Raises:
        SourceError: it cannot be opened.
    """
    rate = source.own_fps if fps is None else fps
    period = 1 / rate if rate else 0.0
    live = is_live(source)
    due = time.monotonic()
    while True:
        for shot in source.shots():
            now = time.monotonic()
            if live and now < due:
                continue
            if due > now:
                time.sleep(due - now)
            # A late picture does not make the next ones early: no burst after a pause.
            due = max(due + period, now)
            yield shot
        if not loop:
            return


def is_live(source: Source) -> bool:
    """Whether its pictures come when they come, so that one that cannot be sent at once is better left out."""
    return isinstance(source, Camera | NetworkCamera)


@dataclass(frozen=True, slots=True)
class Pictures:
    """A picture file, or those of a folder and the folders in it in the order of their paths; bytes as they are."""

    path: Path

    @property
    def own_fps(self) -> float | None:
        """None: as fast as they can be read."""
        return None

    @property
    def total(self) -> int:
        """The number of files."""
        return len(self.files())

    def files(self) -> list[Path]:
        """The picture files.

        Raises:
            SourceError: there is none.
        """
        if self.path.is_file():
            return [self.path]
        found = sorted(file for file in self.path.rglob("*") if file.suffix.lower() in PICTURE_SUFFIXES)
        if not found:
            raise SourceError(f"there is no picture in {str(self.path)!r} ({' '.join(sorted(PICTURE_SUFFIXES))})")
        return found

    def shots(self) -> Iterator[Shot]:
        """Each file's bytes."""
        for file in self.files():
            try:
                data = file.read_bytes()
            except OSError as error:
                raise SourceError(f"{str(file)!r} cannot be read: {error.strerror}") from error
            yield Shot(str(file), data)


@dataclass(frozen=True, slots=True)
class Video:
    """A video file, frame by frame as JPEG."""

    path: Path

    @property
    def own_fps(self) -> float | None:
        """The rate it was recorded at."""
        return float(self._property("CAP_PROP_FPS")) or None

    @property
    def total(self) -> int | None:
        """The number of frames that its header announces."""
        return max(0, int(self._property("CAP_PROP_FRAME_COUNT"))) or None

    def shots(self) -> Iterator[Shot]:
        """Every frame."""
        capture = _open(str(self.path), f"{str(self.path)!r} is no video that can be read")
        try:
            for number, data in enumerate(_frames(capture)):
                yield Shot(f"{self.path}#{number}", data)
        finally:
            capture.release()

    def _property(self, name: str) -> float:
        import cv2

        capture = _open(str(self.path), f"{str(self.path)!r} is no video that can be read")
        try:
            return capture.get(getattr(cv2, name))
        finally:
            capture.release()


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera of this machine, by its number."""

    number: int
    total: int | None = None
    own_fps: float | None = None

    def shots(self) -> Iterator[Shot]:
        """Frames as they come, until the camera is unplugged."""
        capture = _open(self.number, f"camera {self.number} cannot be opened: is it plugged in, and in use elsewhere?")
        try:
            for count, data in enumerate(_frames(capture)):
                yield Shot(f"camera {self.number}#{count}", data)
        finally:
            capture.release()
        raise SourceError(f"camera {self.number} gives no more pictures")


@dataclass(frozen=True, slots=True)
class NetworkCamera:
    """A camera behind an address; reconnects for as long as it takes, once it has been reached."""

    address: str
    longest_wait_s: float = 30.0
    total: int | None = None
    own_fps: float | None = None

    def shots(self) -> Iterator[Shot]:
        """Frames as they come; never ends."""
        reconnect = Retrying(
            retry=retry_if_exception_type(SourceError),
            wait=wait_exponential(multiplier=0.5, max=self.longest_wait_s),
            before_sleep=before_sleep_log(LOG, logging.WARNING),
        )
        capture = self._open()
        count = 0
        while True:
            try:
                for data in _frames(capture):
                    yield Shot(f"{self.name}#{count}", data)
                    count += 1
            finally:
                capture.release()
            LOG.warning("%s gives no more pictures: connecting again", self.name)
            capture = reconnect(self._open)

    @property
    def name(self) -> str:
        """The address without user and password."""
        return re.sub("//[^/]*@", "//", self.address)

    def _open(self) -> cv2.VideoCapture:
        return _open(self.address, f"nothing can be seen at {self.name}: check address, user and password")


def _open(what: str | int, otherwise: str) -> cv2.VideoCapture:
    # Its own words on stderr would stand between the lines of the command line.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    import cv2

    network: list[Any] = []
    if isinstance(what, str) and what.startswith(_STREAM_SCHEMES):
        timeouts = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, cv2.CAP_PROP_READ_TIMEOUT_MSEC)
        network = [cv2.CAP_FFMPEG, [part for name in timeouts for part in (name, _NETWORK_TIMEOUT_MS)]]
    capture = cv2.VideoCapture(what, *network)
    if not capture.isOpened():
        raise SourceError(otherwise)
    return capture


def _frames(capture: cv2.VideoCapture) -> Iterator[bytes]:
    import cv2

    while True:
        there, frame = capture.read()
        if not there:
            return
        encoded, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        if encoded:
            yield data.tobytes()
