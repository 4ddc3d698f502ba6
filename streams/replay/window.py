"""How many replayed events may be under way at once, so that live ones hardly notice.

A live event that arrives behind replayed ones waits for them, and shares the machines with them. So for a moment
nothing is sent, to hear how long live events take by themselves (the *base*); then the window grows as long as they do
not take much longer, and is halved when they do. A window below one lets one event go, and then rests for a while. What
the base is, is heard again and again, as live traffic changes.
Where live events are too few to tell, the round trips of replayed ones stand for them: one that is alone takes as long
as without a replay. Where nothing live passes, the workers may as well be kept busy.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

_LIVE_FOR_S = 30.0
"""After this long without a live event nobody is disturbed."""
_LISTEN_S = 2.0
_LISTEN_EVERY_S = 20.0
_ENOUGH = 24
"""Live events by which the base is known; with fewer than a quarter of it in the time, they are too few to tell."""
_JUDGED = 12
"""Events by which the window is judged, or half of them after a second."""
_FIRST = 0.5
_GROW, _SHRINK, _HIGH = 1.1, 1.2, 1.4
"""Grow while events take less than so many times the base; shrink when they take more, or the slowest of them do."""
_STEP, _FIRST_STEP = 1.25, 2.0
"""So fast it grows, and so fast until it has shrunk once."""
_LEAST = 1 / 32


class Window:
    """Decides by how long events take; times are monotonic seconds, durations are seconds."""

    def __init__(self, most: int, *, gentle: bool = True) -> None:
        """``most`` keeps all workers busy; without ``gentle`` it is always allowed."""
        self._most = most
        self._gentle = gentle
        self._size = _FIRST
        self._step = _FIRST_STEP
        self._rests_until = 0.0
        self._live_at: float | None = None
        self._listens_since: float | None = None
        self._heard_at = 0.0
        self._base: tuple[float, float] | None = None
        self._by_trips = False
        self._samples: list[float] = []
        self._judged_at = 0.0

    @property
    def beside_live(self) -> bool:
        """Whether it is held down for the sake of live events."""
        return self._live_at is not None

    def room(self, now: float, under_way: int) -> int:
        """How many more may be sent."""
        if self._live_at is not None and now - self._live_at > _LIVE_FOR_S:
            self._live_at = None
        if self._live_at is None:
            return max(0, self._most - under_way)
        if self._listens_since is None and now - self._heard_at > _LISTEN_EVERY_S:
            self._listen(now)
        if self._listens_since is not None:
            if under_way:
                # These still are in the way of live events.
                self._listen(now)
                return 0
            if len(self._samples) < _ENOUGH and now - self._listens_since < _LISTEN_S:
                return 0
            self._know(now)
        if now < self._rests_until:
            return 0
        return max(0, max(1, int(self._size)) - under_way)

    def live(self, now: float, took_s: float | None = None) -> None:
        """A live event has been answered; how long it took may not be known."""
        if not self._gentle:
            return
        if self._live_at is None:
            self._listen(now)
        self._live_at = now
        if took_s is not None and not self._by_trips:
            self._samples.append(took_s)
            self._judge(now)

    def answered(self, round_trip_s: float, now: float) -> None:
        """A replayed event has been answered."""
        if self._live_at is not None and self._size < 1:
            self._rests_until = now + round_trip_s * (1 / self._size - 1)
        if self._live_at is not None and self._listens_since is None and self._by_trips:
            self._samples.append(round_trip_s)
            self._judge(now)

    def _listen(self, now: float) -> None:
        self._listens_since = now
        self._by_trips = False
        self._samples.clear()

    def _know(self, now: float) -> None:
        """Take what was heard as the base."""
        self._by_trips = len(self._samples) < _ENOUGH // 4
        self._base = None if self._by_trips else _middle_and_high(self._samples)
        if self._by_trips:
            self._size = 1
        self._listens_since = None
        self._heard_at = self._judged_at = now
        self._samples.clear()

    def _judge(self, now: float) -> None:
        if self._listens_since is not None:
            return
        count = len(self._samples)
        if count < _JUDGED and (count < _JUDGED // 2 or now - self._judged_at < 1.0):
            return
        middle, high = _middle_and_high(self._samples)
        self._samples.clear()
        self._judged_at = now
        if self._base is None:
            # The first round trips, one at a time.
            self._base = middle, high
        elif middle > _SHRINK * self._base[0] or high > _HIGH * self._base[1]:
            self._size, self._step = max(_LEAST, self._size / 2), _STEP
        elif middle < _GROW * self._base[0]:
            self._size = min(self._most, self._size * self._step)


def _middle_and_high(samples: Sequence[float]) -> tuple[float, float]:
    """The median, and what one in ten exceeds."""
    return statistics.median(samples), statistics.quantiles(samples, n=10, method="inclusive")[-1]
