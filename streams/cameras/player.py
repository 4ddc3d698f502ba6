"""Sends what a source shows as the frames of a camera, and counts what becomes of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Protocol

from streams.cameras.sources import CapturedFrame, UnreadableFrames
from streams.client.delivery_report import DeliveryHandle
from streams.client.errors import BackPressure, InvalidPicture


class FrameCounts:
    """What became of the frames. Safe to use from several threads: delivery reports come from the producer's.

    Sent to Kafka; delivered or failed; refused, as no worker would take them; dropped to keep up; unreadable.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        """``warn`` is called with the first failed delivery, and with whatever is wrong with a single frame."""
        self._warn = warn
        self._lock = threading.Lock()
        self.counts = {"sent": 0, "delivered": 0, "failed": 0, "refused": 0, "dropped": 0, "unreadable": 0}

    def add(self, word: str, count: int = 1) -> int:
        """Count more of them; return how many there are now."""
        with self._lock:
            self.counts[word] += count
            return self.counts[word]

    def warn(self, text: str) -> None:
        """Tell what is wrong with a frame."""
        self._warn(text)

    def report(self, handle: DeliveryHandle) -> None:
        """Count a delivery report, and tell of the first bad one."""
        error = handle.future.exception()
        if error is None:
            self.add("delivered")
        elif self.add("failed") == 1:
            self._warn(str(error))

    @property
    def troubles(self) -> str:
        """Everything that is not well, in words."""
        words = ("failed", "refused", "dropped", "unreadable")
        return ", ".join(f"{self.counts[word]} {word}" for word in words if self.counts[word])

    @property
    def is_bad(self) -> bool:
        """Whether a frame failed, was refused or could not be read; a dropped one is no failure of a live camera."""
        return any(self.counts[word] for word in ("failed", "refused", "unreadable"))


class SendFrame(Protocol):
    """Sends one picture as a frame; such as a producer's ``frame`` for one camera."""

    def __call__(self, picture: bytes, /, *, captured_at: datetime | None, timeout_s: float | None) -> object:
        """Send it.

        Raises:
            InvalidPicture: no worker would take it.
            BackPressure: it was not accepted within the time.
        """


def play(
    shots: Iterable[CapturedFrame | UnreadableFrames],
    send: SendFrame,
    counts: FrameCounts,
    *,
    live: bool,
    limit: int | None = None,
    progress: Callable[[], None] = lambda: None,
) -> None:
    """Send frames until the source or the limit ends it.

    Args:
        shots: as :func:`streams.cameras.sources.shots` gives them.
        send: called for each picture.
        counts: takes what becomes of them.
        live: a frame of a live camera is dropped where there is no room for it; others wait.
        limit: frames to take at most.
        progress: called after each frame.

    Raises:
        BackPressure: a frame of a source that is not live found no room.
        SourceError: nothing of the source can be read.
    """
    taken = 0
    for shot in shots:
        if isinstance(shot, UnreadableFrames):
            counts.add("unreadable", shot.count)
            counts.warn(shot.why)
            continue
        try:
            send(shot.data, captured_at=shot.captured_at, timeout_s=0 if live else None)
            counts.add("sent")
        except InvalidPicture as error:
            counts.add("refused")
            counts.warn(f"{shot.name}: {error}")
        except BackPressure:
            if not live:
                raise
            counts.add("dropped")
        progress()
        taken += 1
        if taken == limit:
            break
