"""Limits the number of replayed events in flight, so that live events are hardly delayed.

A live event that arrives behind replayed ones waits for them, and shares the machines with them. So the replay pauses
for a moment, to measure how long the slower live events take by themselves (the *base*). Then every live event that
takes much longer shrinks the window, and every other one lets it grow a little, and more the longer none was late. The
two are in balance if one in seventy is late: this controls the tail, not the mean. A window below one lets one event
pass, and then pauses for a while. The base is measured again regularly, because live traffic changes.

If there are too few live events, the round trips of replayed events are measured instead: one that is alone takes as
long as without a replay. If there are no live events, the workers may be kept busy: the events that they answer in a
second may be in flight, and the first live event waits no longer than that.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Sequence

_LIVE_FOR_S = 30.0
"""After this long without a live event, there is no live traffic to protect."""
_LISTEN_S = 2.0
_LISTEN_EVERY_S, _LISTEN_EARLY_S = 20.0, 5.0
"""Interval between measurements; and the shorter one until there are enough, because the first may be an outlier."""
_ENOUGH = 24
"""Number of live events that determine the base. Fewer than a quarter of it in the time are too few."""
_FIRST_TRIPS = 12
"""Number of round trips, one at a time, that determine the base if there are too few live events."""
_HEARD = 3
"""The base is the median of this many measurements."""
_AHEAD_S = 1.0
"""As many events may be in flight as are answered in this time."""
_FIRST = 0.5
_LATE = 1.5
"""An event is late if it takes this many times the base, which one in ten exceeds."""
_SHRINK = 0.7
"""Factor of the window for one late event."""
_CALM = 70
_GROW = _SHRINK ** (-1 / (1.5 * _CALM))
"""Factor of the window for one event that is not late; it increases with each 70 consecutive ones, so that the 70th
makes up for one late event."""
_CALMEST = 20 * _CALM
"""After this many consecutive events, the growth does not increase any more."""
_LEAST = 1 / 32


class CongestionWindow:
    """Decides by how long events take; times are monotonic seconds, durations are seconds."""

    def __init__(self, least: int, *, gentle: bool = True) -> None:
        """``least`` keeps all workers busy for a moment; without ``gentle`` live events do not matter."""
        self._least = self._most = least
        self._answered, self._paced_at = 0, -math.inf
        self._gentle = gentle
        self._size = _FIRST
        self._calm = 0
        self._rests_until = 0.0
        self._live_at: float | None = None
        self._listens_since: float | None = None
        self._heard_at = 0.0
        self._bases: deque[float] = deque(maxlen=_HEARD)
        self._by_trips = False
        self._samples: list[float] = []
        self._shrunk_at = -math.inf

    @property
    def beside_live(self) -> bool:
        """Whether it is held down for the sake of live events."""
        return self._live_at is not None

    def room(self, now: float, under_way: int) -> int:
        """How many more may be sent."""
        if self._live_at is not None and now - self._live_at > _LIVE_FOR_S:
            self._live_at = None
        self._pace(now)
        if self._live_at is None:
            return max(0, self._most - under_way)
        every_s = _LISTEN_EVERY_S if self._by_trips or len(self._bases) == _HEARD else _LISTEN_EARLY_S
        if self._listens_since is None and now - self._heard_at > every_s:
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

    def _pace(self, now: float) -> None:
        """Allow as many events in flight as are answered in a moment, so that fast workers never wait for more."""
        passed = now - self._paced_at
        if passed < _AHEAD_S / 2:
            return
        self._most = max(self._least, int(self._answered / passed * _AHEAD_S))
        self._answered, self._paced_at = 0, now

    def live(self, now: float, took_s: float | None = None) -> None:
        """A live event has been answered; how long it took may not be known."""
        if not self._gentle:
            return
        if self._live_at is None:
            self._listen(now)
        self._live_at = now
        if took_s is not None and self._listens_since is not None:
            self._samples.append(took_s)
        elif took_s is not None and not self._by_trips:
            self._judge(took_s, now)

    def answered(self, round_trip_s: float, now: float) -> None:
        """A replayed event has been answered."""
        self._answered += 1
        if self._live_at is not None and self._size < 1:
            self._rests_until = now + round_trip_s * (1 / self._size - 1)
        if self._live_at is None or self._listens_since is not None or not self._by_trips:
            return
        if self._bases:
            self._judge(round_trip_s, now)
            return
        self._samples.append(round_trip_s)
        if len(self._samples) == _FIRST_TRIPS:
            self._bases.append(_high(self._samples))

    def _listen(self, now: float) -> None:
        self._listens_since = now
        self._samples.clear()

    def _know(self, now: float) -> None:
        """Take what was heard as the base."""
        by_trips = len(self._samples) < _ENOUGH // 4
        if by_trips or by_trips is not self._by_trips:
            self._bases.clear()
        self._by_trips = by_trips
        if by_trips:
            self._size = 1
        else:
            self._bases.append(_high(self._samples))
        self._listens_since = None
        self._heard_at = now
        self._samples.clear()

    def _judge(self, took_s: float, now: float) -> None:
        if took_s <= _LATE * statistics.median_low(self._bases):
            self._size = min(self._most, self._size * _GROW ** (1 + self._calm / _CALM))
            self._calm = min(self._calm + 1, _CALMEST)
        elif now - self._shrunk_at > took_s:
            # Those that were late together were late of one cause.
            self._size, self._calm, self._shrunk_at = max(_LEAST, self._size * _SHRINK), 0, now
            if self._size == _LEAST:
                # So little is sent that it cannot be the cause.
                self._bases.clear()
                self._listen(now)


def _high(samples: Sequence[float]) -> float:
    """What one in ten exceeds."""
    return statistics.quantiles(samples, n=10, method="inclusive")[-1]
