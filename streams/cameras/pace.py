"""Chooses from frames that come as they come those that make a given rate."""

from __future__ import annotations


class Pace:
    """Says which frames are due."""

    def __init__(self, fps: float | None) -> None:
        """``fps``: frames a second on the average; None or 0: all."""
        self._period_s = 1 / fps if fps else 0.0
        self._due_s = 0.0

    def is_due(self, now_s: float) -> bool:
        """Whether to take the frame that comes now, in monotonic seconds; after a pause there is no burst."""
        if now_s < self._due_s:
            return False
        self._due_s = max(self._due_s + self._period_s, now_s + self._period_s / 2)
        return True
