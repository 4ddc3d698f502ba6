"""Video files, frame by frame, on behind damage; what is missing is counted against what the file announces."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from streams.cameras.captures import CapturedFrame, SourceError, UnreadableFrames, frame, opened
from streams.text import pluralize

if TYPE_CHECKING:
    import cv2

_USUAL_FPS = 25.0
_MOST_FPS = 1_000.0
_MOST_FRAMES = 10**9
"""A header that announces more is not believed."""
_TRIES = 100
"""Frames that may fail one after another, beside as many as are still announced."""
_MOST_TRIES = 100_000
_SLACK_S = 0.5
"""A file that ends this much sooner than announced is whole, where the number of its frames is an estimate."""
_MOST_INDEX_BYTES = 100_000_000


@dataclass(frozen=True, slots=True)
class Video:
    """A video file, frame by frame as JPEG, upright as its metadata says."""

    path: Path

    @property
    def own_fps(self) -> float | None:
        """The rate it was recorded at, on the average."""
        with self._open() as capture:
            return _fps(capture)

    @property
    def total(self) -> int | None:
        """The number of frames that its header announces; of some kinds of file it is an estimate."""
        with self._open() as capture:
            return _announced(capture)

    def shots(self) -> Iterator[CapturedFrame | UnreadableFrames]:
        """Every frame that can be read, and in the end how many could not.

        Raises:
            SourceError: it is no video, or no frame of it can be read.
        """
        import cv2

        with self._open() as capture:
            total, fps = _announced(capture), _fps(capture) or _USUAL_FPS
            seen = skipped = failed = 0
            last_s = 0.0
            while failed <= min(_MOST_TRIES, _TRIES + max(0, (total or 0) - seen - skipped)):
                if (data := frame(capture)) is None:
                    failed += 1
                    continue
                if seen:
                    skipped += failed
                failed = 0
                at_s = max(last_s, capture.get(cv2.CAP_PROP_POS_MSEC) / 1_000)
                # Raw streams have no times but for their first frame.
                yield CapturedFrame(f"{self.path}#{seen + skipped}", data, at_s if at_s or not seen else None)
                seen, last_s = seen + 1, at_s
        if not seen:
            raise SourceError(
                f"no frame of {str(self.path)!r} can be read: it is damaged, or no decoder here knows its codec; "
                "convert it, with `ffmpeg -i FILE -c:v libx264 OUT.mp4` for example"
            )
        missing, of = self._missing(seen, skipped, total, fps, last_s)
        if missing:
            which = f"{missing} {of} frames" if of else pluralize(missing, "frame")
            yield UnreadableFrames(
                missing, f"{which} of {str(self.path)!r} could not be read: it is damaged or cut off"
            )

    def _missing(self, seen: int, skipped: int, total: int | None, fps: float, last_s: float) -> tuple[int, str]:
        """How many frames are missing, and of how many, in words."""
        if total is None:
            return skipped, ""
        length_s = total / fps
        presented_s, exact = _presented(self.path)
        # A film that was trimmed without being encoded anew holds frames that are not to be shown.
        if exact and (presented_s is None or presented_s > length_s - 1.5 / fps):
            return max(0, total - seen), f"of {total}"
        lost_s = min(length_s, presented_s or length_s) - last_s - 1 / fps
        missing = skipped + (round(lost_s * fps) if last_s and lost_s > _SLACK_S else 0)
        return missing, f"of about {seen + missing}"

    @contextmanager
    def _open(self) -> Iterator[cv2.VideoCapture]:
        capture = opened(str(self.path), f"{str(self.path)!r} is no video that can be read")
        try:
            yield capture
        finally:
            capture.release()


def _announced(capture: cv2.VideoCapture) -> int | None:
    import cv2

    total = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    return total if 0 < total < _MOST_FRAMES else None


def _fps(capture: cv2.VideoCapture) -> float | None:
    import cv2

    fps = float(capture.get(cv2.CAP_PROP_FPS))
    return fps if 0 < fps <= _MOST_FPS else None


def _presented(path: Path) -> tuple[float | None, bool]:
    """How long the picture of a film is to be shown, where the file says so; and whether it counts its frames.

    Only AVI and the kin of MP4 do; of the others the number is the length times the average rate. Source: ISO/IEC
    14496-12, 8.2.2 and 8.3.2.
    """
    with path.open("rb") as file:
        kind = file.read(12)
        if kind[:4] == b"RIFF":
            return None, True
        if kind[4:8] not in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
            return None, False
        index = _box(file, b"moov")
    at = index.find(b"mvhd") + 4
    if at < 4 or len(index) < at + 32:
        return None, False
    scale = struct.unpack_from(">I", index, at + (20 if index[at] else 12))[0]
    at = 0
    while (at := index.find(b"tkhd", at) + 4) > 3 and len(index) >= at + 96:
        long = index[at] == 1
        duration = struct.unpack_from(">Q" if long else ">I", index, at + (28 if long else 20))[0]
        width = struct.unpack_from(">I", index, at + (88 if long else 76))[0]
        if width and duration and duration >> (64 if long else 32) == 0 and scale:
            return duration / scale, True
    return None, False


def _box(file: BinaryIO, name: bytes) -> bytes:
    """The content of a box on the outermost level; empty if there is none."""
    at = 0
    while True:
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            return b""
        size, kind = struct.unpack_from(">I4s", head)
        if size == 1 and len(head) == 16:
            size = struct.unpack_from(">Q", head, 8)[0]
        if kind == name:
            file.seek(at + 8)
            return file.read(min(size, _MOST_INDEX_BYTES) if size else _MOST_INDEX_BYTES)
        if size < 8:
            return b""
        at += size
