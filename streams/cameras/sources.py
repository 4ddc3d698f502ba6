"""Where frames come from: folders, video files, cameras, RTSP addresses."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from models.pictures.folders import FoundPictures, is_picture, pictures_below
from models.pictures.formats import HEAD_BYTES, SUFFIXES, format_of
from schemas.clock import utc_now
from streams.cameras.captures import STREAM_SCHEMES, CapturedFrame, SourceError, UnreadableFrames, encoded
from streams.cameras.clock import CameraClock
from streams.cameras.live import LiveSource, LocalCamera
from streams.cameras.network import NetworkCamera
from streams.cameras.newest import NewestFrame
from streams.cameras.videos import Video

__all__ = [
    "CapturedFrame",
    "FrameSource",
    "LocalCamera",
    "NetworkCamera",
    "Pictures",
    "RecordedSource",
    "SourceError",
    "UnreadableFrames",
    "Video",
    "open_source",
]

_LONGEST_PAUSE_S = 60.0
"""A longer one between two frames of a video is taken for damage of its times."""


class RecordedSource(Protocol):
    """Pictures one after another, which wait until somebody wants them."""

    @property
    def total(self) -> int | None:
        """How many pictures one round has, where that is known."""

    @property
    def own_fps(self) -> float | None:
        """The rate at which to play it, where it has one."""

    def shots(self) -> Iterator[CapturedFrame | UnreadableFrames]:
        """One round of it.

        Raises:
            SourceError: it cannot be opened, or nothing of it can be read.
        """


FrameSource = RecordedSource | LocalCamera | NetworkCamera


def open_source(where: str) -> FrameSource:
    """Find out what a source is: a folder, a picture, a video file, the number of a camera or an RTSP address.

    Raises:
        SourceError: it is none of them.
    """
    if where.isdecimal():
        return LocalCamera(int(where))
    if where.startswith(STREAM_SCHEMES):
        return NetworkCamera(where)
    path = Path(where)
    if path.is_dir() or (path.is_file() and (is_picture(path) or _begins_as_picture(path))):
        return Pictures(path)
    if path.is_file():
        return Video(path)
    raise SourceError(
        f"there is no {where!r}: give a folder of pictures, a picture, a video file, a camera's number or rtsp://…"
    )


def _begins_as_picture(file: Path) -> bool:
    try:
        with file.open("rb") as opened_file:
            return format_of(opened_file.read(HEAD_BYTES)) is not None
    except OSError as error:
        raise SourceError(f"{str(file)!r} cannot be read: {error.strerror}") from error


def shots(
    source: FrameSource, *, fps: float | None = None, loop: bool = False
) -> Iterator[CapturedFrame | UnreadableFrames]:
    """Take the pictures of a source, waiting between them, and hear of those that cannot be read.

    Args:
        source: what to play.
        fps: pictures a second, 0: as fast as they come; default: the source's own pace, of a video as the times of its
            frames say, which are then their ``captured_at``. Every picture of a folder or file is given; of a camera
            the newest one, and those that come faster are left out.
        loop: begin anew when a round ends; a camera's has none.

    Raises:
        SourceError: it cannot be opened, or nothing of it can be read.
    """
    if isinstance(source, LocalCamera | NetworkCamera):
        yield from _live_shots(source, fps)
    else:
        yield from _recorded_shots(source, fps, loop)


def _live_shots(source: LiveSource, fps: float | None) -> Iterator[CapturedFrame | UnreadableFrames]:
    clock = CameraClock(source.name)
    with closing(NewestFrame(source, fps=fps, patient=False)) as newest:
        for count, frame in enumerate(newest.frames()):
            data = encoded(frame.pixels())
            if data is None:
                yield UnreadableFrames(1, f"a frame of {source.name} is too large for a JPEG")
            else:
                yield CapturedFrame(f"{source.name}#{count}", data, captured_at=clock.time_of(frame))


def _recorded_shots(
    source: RecordedSource, fps: float | None, loop: bool
) -> Iterator[CapturedFrame | UnreadableFrames]:
    rate = source.own_fps if fps is None else fps
    period = 1 / rate if rate else 0.0
    due: float | None = None
    given = 0.0
    while True:
        before: float | None = None
        for shot in source.shots():
            if isinstance(shot, UnreadableFrames):
                yield shot
                continue
            now = time.monotonic()
            timed = fps is None and shot.at_s is not None
            pause = shot.at_s - before if timed and shot.at_s is not None and before is not None else period
            # A late picture does not make the next ones early: no burst after a pause.
            next_due = now if due is None else max(due + (pause if pause <= _LONGEST_PAUSE_S else period), given)
            due, given, before = next_due, now, shot.at_s
            if due > now:
                time.sleep(due - now)
            yield replace(shot, captured_at=utc_now() - timedelta(seconds=time.monotonic() - due)) if timed else shot
        if not loop:
            return


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
        return self.found().pictures

    def found(self) -> FoundPictures:
        """The picture files, and what was left out or cannot be read.

        Raises:
            SourceError: there is no picture file.
        """
        if self.path.is_file():
            return FoundPictures([self.path])
        found = pictures_below(self.path)
        if not found.pictures:
            why = "".join(f"; {str(path)!r} cannot be read: {error}" for path, error in found.unreadable.items())
            raise SourceError(f"there is no picture in {str(self.path)!r} ({' '.join(sorted(SUFFIXES))}){why}")
        return found

    def shots(self) -> Iterator[CapturedFrame | UnreadableFrames]:
        """Each file's bytes."""
        found = self.found()
        for path, why in found.unreadable.items():
            yield UnreadableFrames(1, f"{str(path)!r} cannot be read: {why}")
        for file in found.pictures:
            try:
                data = file.read_bytes()
            except OSError as error:
                yield UnreadableFrames(1, f"{str(file)!r} cannot be read: {error.strerror}")
            else:
                yield CapturedFrame(str(file), data)
