"""How many replayed events may be under way at once, so that live ones hardly notice.

A live event that arrives behind replayed ones waits for them, and shares the machines with them. So for a moment
nothing is sent, to hear how long the slower of the live events take by themselves (the *base*). Then every live event
that takes much longer shrinks the window, and every other one lets it grow a little, more the longer none was late. The
two are in balance where one in seventy is: the tail is held, not the mean. A window below one lets one event go, and
then rests for a while. What the base is, is heard again and again, as live traffic changes.
Where live events are too few to tell, the round trips of replayed ones stand for them: one that is alone takes as long
as without a replay. Where nothing live passes the workers may be kept busy: what they answer in a second may be under
way, and the first live event waits no longer than that.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Sequence

_LIVE_FOR_S = 30.0
"""After this long without a live event nobody is disturbed."""
_LISTEN_S = 2.0
_LISTEN_EVERY_S, _LISTEN_EARLY_S = 20.0, 5.0
"""From one time to the next, and as long as it was not heard often enough: the first time may have been an odd one."""
_ENOUGH = 24
"""Live events by which the base is known; with fewer than a quarter of it in the time, they are too few to tell."""
_FIRST_TRIPS = 12
"""Round trips, one at a time, by which the base is known where live events are too few."""
_HEARD = 3
"""So many times that were listened are the base, by their median."""
_AHEAD_S = 1.0
"""What is answered in this time may be under way."""
_FIRST = 0.5
_LATE = 1.5
"""Times the base, which one in ten exceeds."""
_SHRINK = 0.7
"""By one late event."""
_CALM = 70
_GROW = _SHRINK ** (-1 / (1.5 * _CALM))
"""By one event that is not late; after so many in a row by twice as much, then by three times: the 70th makes good for
one late event."""
_CALMEST = 20 * _CALM
"""From there on it grows no faster."""
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
        """Let so many be under way as are answered in a moment, so that fast workers never wait for more."""
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
