"""Which time a live frame was taken at: the camera's own, unless its clock is plainly wrong."""

from __future__ import annotations

import logging
from datetime import datetime

from streams.cameras.live import LiveFrame

log = logging.getLogger(__name__)

TOLERANCE_S = 60.0
"""A camera without a time server is minutes or decades off; one that has been told the time, by less than this."""


class CameraClock:
    """Chooses the time of each frame of one camera."""

    def __init__(self, name: str, tolerance_s: float = TOLERANCE_S) -> None:
        self._name = name
        self._tolerance_s = tolerance_s
        self._believed = True
        self.ahead_s: float | None = None
        """How far the camera's clock was ahead of this machine's when the last frame arrived, less its way here; None
        where the camera tells no time."""

    def time_of(self, frame: LiveFrame) -> datetime:
        """The camera's time where it is near this machine's, else when the frame arrived."""
        if frame.camera_time is None:
            self.ahead_s = None
            return frame.arrived_at
        self.ahead_s = (frame.camera_time - frame.arrived_at).total_seconds()
        believed = abs(self.ahead_s) <= self._tolerance_s
        if self._believed and not believed:
            log.warning(
                "the clock of %s is %.0f s %s: its frames get the time of their arrival",
                *(self._name, abs(self.ahead_s), "ahead" if self.ahead_s > 0 else "behind"),
            )
        self._believed = believed
        return frame.camera_time if believed else frame.arrived_at
