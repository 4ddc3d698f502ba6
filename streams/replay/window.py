"""How many replayed events may be under way at once, so that live ones hardly notice.

A live event that arrives behind replayed ones waits for them. How long is seen from the replayed events themselves:
one that is sent alone takes as long as a live one does without a replay (the *base*), and while more of them are under
way they should not take much longer than that. The window grows while they do not, and is halved when they do. Where
nothing live passes, the workers may as well be kept busy.
"""

from __future__ import annotations

import statistics

_LIVE_FOR_S = 30.0
"""After this long without a live event nobody is disturbed."""
_PROBES = 16
"""Events sent one at a time to learn the base."""
_PROBE_EVERY_S = 20.0
_GROW, _SHRINK = 1.2, 1.4
"""Grow while the median is below this many times the base; shrink above that."""
_AT_LEAST = 8


class Window:
    """Decides by the round trips of replayed events; times are monotonic seconds."""

    def __init__(self, most: int, *, gentle: bool = True) -> None:
        """``most`` keeps all workers busy; without ``gentle`` it is always allowed."""
        self._most = most
        self._gentle = gentle
        self._live_at: float | None = None
        self._base_s: float | None = None
        self._probed_at = 0.0
        self._samples: list[float] = []
        self.size = most

    @property
    def beside_live(self) -> bool:
        """Whether it is held down for the sake of live events."""
        return self._live_at is not None

    def live(self, now: float) -> None:
        """A live event has passed."""
        if not self._gentle:
            return
        if self._live_at is None:
            self._probe()
        self._live_at = now

    def answered(self, round_trip_s: float, now: float) -> None:
        """A replayed event has been answered."""
        if self._live_at is None:
            return
        if now - self._live_at > _LIVE_FOR_S:
            self._live_at = None
            self.size = self._most
            return
        self._samples.append(round_trip_s)
        if self._base_s is None:
            if len(self._samples) == _PROBES:
                # Those that were sent before the window was narrow come first.
                self._base_s, self._probed_at = statistics.median(self._samples[_PROBES // 4 :]), now
                self._samples.clear()
        elif now - self._probed_at > _PROBE_EVERY_S:
            self._probe()
        elif len(self._samples) >= max(_AT_LEAST, self.size):
            self._adapt(self._base_s)

    def _probe(self) -> None:
        self._base_s = None
        self._samples.clear()
        self.size = 1

    def _adapt(self, base_s: float) -> None:
        median = statistics.median(self._samples)
        self._samples.clear()
        if median > _SHRINK * base_s:
            self.size = max(1, self.size // 2)
        elif median < _GROW * base_s:
            self.size = min(self._most, self.size + max(1, self.size // 4))
