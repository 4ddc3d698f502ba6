"""Reads a live camera on a thread of its own, and keeps only the newest frame for whoever takes them."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

from streams.cameras.captures import SourceError
from streams.cameras.live import AccessDenied, LiveFrame, LiveSource
from streams.cameras.pace import Pace

log = logging.getLogger(__name__)

_FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0


class Backoff:
    """How long to wait before the next attempt: each time twice as long, up to a limit, from the first good frame anew.

    The waits vary, so that the cameras behind a recorder that comes back do not connect all at once.
    """

    def __init__(self, longest_s: float = LONGEST_WAIT_S, vary: Callable[[], float] = random.random) -> None:
        """``vary`` gives numbers from 0 to 1."""
        self._longest_s = longest_s
        self._vary = vary
        self._next_s = _FIRST_WAIT_S

    def wait_s(self, error: Exception | None) -> float:
        """Seconds to wait now.

        A camera that does not accept the password is asked as seldom as possible at once: many lock the account after a
        few attempts.
        """
        longest_s, next_s = self._longest_s, min(self._next_s, self._longest_s)
        self._next_s = next_s * 2
        return longest_s if isinstance(error, AccessDenied) else next_s * (0.5 + self._vary() / 2)

    def reset(self) -> None:
        """A frame has come."""
        self._next_s = _FIRST_WAIT_S


@dataclass(slots=True)
class ReadCounts:
    """What became of a camera's frames on this side, and how the camera is; other threads may read it."""

    read: int = 0
    overtaken: int = 0
    """Frames that nobody had taken when the next one was there."""
    connections: int = 0
    connected: bool = False
    last_frame_at: float | None = None
    """In monotonic seconds."""
    looked_at: float = 0.0
    """When the thread was seen at work, in monotonic seconds."""
    problem: str | None = None


class NewestFrame:
    """Reads a camera until it is closed; connects again for as long as it takes."""

    def __init__(
        self,
        source: LiveSource,
        *,
        name: str | None = None,
        fps: float | None = None,
        patient: bool = True,
        backoff: Backoff | None = None,
    ) -> None:
        """Begin to read.

        Args:
            source: the camera.
            name: what to call it in the log; default: its address.
            fps: frames a second that are offered, the others are skipped; None or 0: all.
            patient: connect for as long as it takes from the start; otherwise a camera that cannot be reached at the
                start, or goes away and is not expected to come back, is an error.
            backoff: between two attempts.
        """
        self._source = source
        self._name = name or source.name
        self._pace = Pace(fps)
        self._patient = patient
        self._backoff = backoff or Backoff()
        self._there = threading.Condition()
        self._newest: LiveFrame | None = None
        self._error: SourceError | None = None
        self._stopped = threading.Event()
        self.counts = ReadCounts(looked_at=time.monotonic())
        self._thread = threading.Thread(target=self._read, name=f"read {source.name}", daemon=True)
        self._thread.start()

    def take(self, timeout_s: float) -> LiveFrame | None:
        """The newest frame that was not taken before; None if there is none within the time.

        Raises:
            SourceError: the camera is given up.
        """
        with self._there:
            self._there.wait_for(lambda: self._newest is not None or self._error is not None, timeout_s)
            frame, self._newest = self._newest, None
            if frame is None and self._error is not None:
                raise self._error
            return frame

    def frames(self) -> Iterator[LiveFrame]:
        """Frames until the camera is given up, then its error."""
        while True:
            if (frame := self.take(1.0)) is not None:
                yield frame

    def close(self) -> None:
        """Read no more; a connection that is silent ends by itself, soon after."""
        self._stopped.set()

    def _read(self) -> None:
        while not self._stopped.is_set():
            error = self._read_once()
            self.counts.connected = False
            if self._stopped.is_set():
                return
            reason = error or SourceError(f"{self._source.name} gives no more pictures")
            self.counts.problem = str(reason)
            if not self._patient and not (self.counts.read and self._source.reconnects):
                with self._there:
                    self._error = reason
                    self._there.notify_all()
                return
            wait_s = self._backoff.wait_s(error)
            log.warning("%s: %s: connecting again in %.1f s", self._name, reason, wait_s)
            self._wait(wait_s)

    def _read_once(self) -> SourceError | None:
        """Read one connection to its end; the error if it could not be opened."""
        self.counts.looked_at = time.monotonic()
        try:
            with closing(self._source.frames()) as frames:
                for frame in frames:
                    now = time.monotonic()
                    if not self.counts.connected:
                        self._connected()
                    self.counts.read += 1
                    self.counts.last_frame_at = self.counts.looked_at = now
                    if self._pace.is_due(now):
                        self._offer(frame)
                    if self._stopped.is_set():
                        break
        except SourceError as error:
            return error
        except Exception as error:
            # A decoder may raise anything over what a broken camera sends; the thread must outlive it.
            log.exception("%s cannot be read", self._name)
            return SourceError(f"{self._source.name} cannot be read: {type(error).__name__}")
        return None

    def _connected(self) -> None:
        self._backoff.reset()
        self.counts.connected, self.counts.problem = True, None
        self.counts.connections += 1
        log.info("%s is connected", self._name)

    def _offer(self, frame: LiveFrame) -> None:
        with self._there:
            self.counts.overtaken += self._newest is not None
            self._newest = frame
            self._there.notify_all()

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._stopped.wait(min(left, 1.0)):
            self.counts.looked_at = time.monotonic()
