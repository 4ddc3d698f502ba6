"""Numbers the frames of a camera, on from where the last process stopped, however that ended."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from streams.homes.files import write_json

if TYPE_CHECKING:
    from streams.settings import Settings

log = logging.getLogger(__name__)

BLOCK = 1_000
"""Numbers that are set aside at once; as many may be left out after a process was killed."""


class FrameNumbers:
    """Gives the numbers of one camera's frames; none twice, as long as its file or its answers are there."""

    def __init__(self, folder: Path, user: str, camera: str, latest: Callable[[], int | None]) -> None:
        """Go on behind what the file in the folder sets aside, and behind the latest answer.

        Args:
            folder: where each camera has a file; where it cannot be written, only the answers count.
            user: the camera's user.
            camera: the camera.
            latest: gives the number of the camera's latest answer, None if there is none or nobody to ask.
        """
        self._who = {"user": user, "camera": camera}
        digest = hashlib.sha256(json.dumps([user, camera]).encode()).hexdigest()
        self._path = folder / f"{digest[:32]}.json"
        answered = latest()
        self._next = max(_read(self._path), 0 if answered is None else answered + 1)
        self._end = self._next
        self._warned = False

    def take(self) -> int:
        """The next number."""
        if self._next >= self._end:
            self._end = self._next + BLOCK
            self._write(self._end)
        self._next += 1
        return self._next - 1

    def close(self) -> None:
        """Give back what was set aside."""
        if self._end > self._next:
            self._end = self._next
            self._write(self._next)

    def _write(self, following: int) -> None:
        try:
            write_json(self._path, self._who | {"next": following})
        except OSError as error:
            if not self._warned:
                log.warning("%s cannot be written (%s): numbers may come again", self._path, error.strerror)
            self._warned = True


def _read(path: Path) -> int:
    try:
        return max(0, int(json.loads(path.read_text("utf-8"))["next"]))
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def latest_number(settings: Settings, user: str, camera: str) -> int | None:
    """The number of a camera's latest answer; None if there is none, or nobody to ask."""
    from sinks.redis import RedisResults, ResultsUnavailable

    results = RedisResults.of(settings)
    try:
        latest = results.latest(user, camera)
        return None if latest is None else int(latest["sequence"])
    except (ResultsUnavailable, KeyError, TypeError, ValueError):
        return None
    finally:
        results.close()
