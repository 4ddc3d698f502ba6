"""Sends one camera of the file: takes its newest frame, leaves out what shows nothing new, and counts the rest."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from schemas.ingest import Mode
from streams.cameras.captures import SourceError, UnreadableFrames, encoded
from streams.cameras.clock import CameraClock
from streams.cameras.config import Camera
from streams.cameras.live import LiveSource, LocalCamera
from streams.cameras.motion import MotionGate
from streams.cameras.network import NetworkCamera
from streams.cameras.newest import Backoff, NewestFrame, ReadCounts
from streams.cameras.numbers import FrameNumbers
from streams.cameras.pace import Pace
from streams.cameras.sources import Pictures, RecordedSource, open_source, shots
from streams.client.delivery_report import DeliveryHandle
from streams.client.errors import (
    BackPressure,
    ClientClosed,
    InvalidEvent,
    KafkaUnavailable,
    TopicsError,
)

if TYPE_CHECKING:
    from cv2.typing import MatLike

log = logging.getLogger(__name__)

UNDER_WAY = 4
"""Frames of a camera without a delivery report; more would wait in memory and be late when Kafka is back."""
_TURN_S = 0.5


class SendsFrames(Protocol):
    """What takes the frames: the producer."""

    def frame(
        self,
        user_id: str,
        picture: bytes,
        /,
        *,
        camera_id: str,
        sequence: int,
        captured_at: datetime | None,
        mode: Mode,
        timeout_s: float,
    ) -> DeliveryHandle:
        """Send one."""


@dataclass(slots=True)
class FrameTally:
    """What became of the frames that a camera gave."""

    delivered: int = 0
    failed: int = 0
    """Kafka does not have them."""
    refused: int = 0
    """No worker would take them, since they are too large."""
    still: int = 0
    """Left out, as nothing moved."""
    no_room: int = 0
    """Left out, as the producer had no room."""
    unreadable: int = 0


class CameraRunner:
    """One camera, run by a thread of its own."""

    def __init__(
        self, camera: Camera, producer: SendsFrames, numbers: FrameNumbers, *, backoff: Backoff | None = None
    ) -> None:
        """Prepare it; :meth:`run` does the work.

        Raises:
            SourceError: there is no such file or folder.
        """
        self.camera = camera
        self.source = open_source(camera.source.get_secret_value())
        self.counts = FrameTally()
        self.ended = False
        self.fatal: Exception | None = None
        """Why this process cannot go on."""
        self.turned_at = time.monotonic()
        """When the thread was seen at work, in monotonic seconds."""
        self.sent_at: float | None = None
        """When a frame was last handed over, in monotonic seconds."""
        self.problem: str | None = None
        """What is wrong with sending; what is wrong with the camera is in ``read.problem``."""
        self.clock = CameraClock(self.name)
        self.gate = MotionGate() if camera.motion and not isinstance(self.source, Pictures) else None
        self.read = ReadCounts()
        self._producer = producer
        self._numbers = numbers
        self._backoff = backoff
        self._number: int | None = None
        self._under_way = 0
        self._room = threading.Condition()

    @property
    def name(self) -> str:
        """Such as ``home/yard``."""
        return f"{self.camera.user}/{self.camera.name}"

    @property
    def is_live(self) -> bool:
        """Whether it shows what is now."""
        return isinstance(self.source, LocalCamera | NetworkCamera)

    def run(self, stop: threading.Event) -> None:
        """Send until ``stop`` is set, or a folder or video is at its end."""
        try:
            if isinstance(self.source, LocalCamera | NetworkCamera):
                self._run_live(self.source, stop)
            else:
                self._run_recorded(self.source, stop)
        except SourceError as error:
            self._add("unreadable")
            self._tell(str(error))
        except ClientClosed:
            pass
        except Exception as error:
            log.exception("%s cannot go on", self.name)
            self.fatal = error
        finally:
            self.ended = True
            self._numbers.close()

    def _run_live(self, source: LiveSource, stop: threading.Event) -> None:
        with closing(NewestFrame(source, name=self.name, fps=self.camera.fps, backoff=self._backoff)) as newest:
            self.read = newest.counts
            while not stop.is_set():
                self.turned_at = newest.counts.looked_at
                # First the room: a frame that has waited for it would not be the newest.
                if not self._has_room(_TURN_S) or (frame := newest.take(_TURN_S)) is None:
                    continue
                pixels = frame.pixels()
                if not self._is_wanted(pixels):
                    continue
                if (data := encoded(pixels, self.camera.quality)) is None:
                    self._add("unreadable")
                elif not self._send(data, self.clock.time_of(frame)):
                    stop.wait(_TURN_S)

    def _run_recorded(self, source: RecordedSource, stop: threading.Event) -> None:
        """Send a folder at the camera's rate; of a video at its own pace as many frames as the camera's rate allows."""
        as_listed = isinstance(source, Pictures)
        pace = Pace(None if as_listed else self.camera.fps)
        for shot in shots(source, fps=self.camera.fps if as_listed else None, loop=self.camera.loop):
            if stop.is_set():
                return
            if isinstance(shot, UnreadableFrames):
                self._add("unreadable", shot.count)
                self._tell(shot.why)
                continue
            self.read.read += 1
            self.read.last_frame_at = time.monotonic()
            if pace.is_due(self.read.last_frame_at) and (as_listed or self._is_wanted(_reduced(shot.data))):
                while not (self._has_room(_TURN_S) and self._send(shot.data, shot.captured_at)):
                    if stop.wait(_TURN_S):
                        return

    def _is_wanted(self, picture: MatLike | None) -> bool:
        """Whether something moves, or a still picture is due."""
        now = time.monotonic()
        if self.gate is None or picture is None or self.gate.passes(picture, now):
            return True
        every_s = self.camera.still_every_s
        if every_s and (self.sent_at is None or now - self.sent_at >= every_s):
            return True
        self._add("still")
        return False

    def _has_room(self, timeout_s: float) -> bool:
        with self._room:
            return self._room.wait_for(lambda: self._under_way < UNDER_WAY, timeout_s)

    def _send(self, data: bytes, captured_at: datetime | None) -> bool:
        """Hand one frame over; whether it, or the next one, can be."""
        with self._room:
            self._under_way += 1
        if self._number is None:
            self._number = self._numbers.take()
        try:
            handle = self._producer.frame(
                self.camera.user,
                data,
                camera_id=self.camera.name,
                sequence=self._number,
                captured_at=captured_at,
                mode=Mode(self.camera.mode),
                timeout_s=0,
            )
        except InvalidEvent as error:
            self._leave("refused", str(error))
            return True
        except (BackPressure, KafkaUnavailable, TopicsError) as error:
            self._leave("no_room", str(error))
            return False
        except BaseException:
            self._leave("failed", None)
            raise
        self._number = None
        self.sent_at = time.monotonic()
        handle.add_done_callback(self._report)
        return True

    def _report(self, handle: DeliveryHandle) -> None:
        error = handle.future.exception()
        if error is not None:
            self._leave("failed", str(error))
        else:
            self.problem = None
            self._leave("delivered", None)

    def _leave(self, word: str, problem: str | None) -> None:
        with self._room:
            self._under_way -= 1
            self._room.notify_all()
        self._add(word)
        if problem is not None:
            self._tell(problem)

    def _add(self, word: str, count: int = 1) -> None:
        """Count; delivery reports come from the producer's thread."""
        with self._room:
            setattr(self.counts, word, getattr(self.counts, word) + count)

    def _tell(self, problem: str) -> None:
        """Say what is wrong, once."""
        if problem != self.problem:
            log.warning("%s: %s", self.name, problem)
        self.problem = problem


def _reduced(jpeg: bytes) -> MatLike | None:
    """A JPEG at a quarter of its size, which takes a fraction of the time."""
    import cv2
    import numpy as np

    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_REDUCED_COLOR_4)
