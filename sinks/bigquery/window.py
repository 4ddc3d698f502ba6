"""Remembers which events of a partition are in the table: exactly for a window of event time, and nothing outside it.

The window is in event time, because that is the same however often a message comes; the time of writing is not. A
producer may send an event again with another time, so within the window events are recognised by their keys alone. All
times are microseconds since 1970.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sinks.base import Result
from sinks.bigquery.tables import event_id, replay_id

FOREVER = 2**62
"""Later than every event."""
_MINUTE = 60_000_000
MARGIN = 10 * _MINUTE
"""How far a window reaches back beyond the events that require it, so that it covers later stragglers too."""
DAY = 24 * 60 * _MINUTE

Item = tuple[int, bytes]
"""Event time and key of an event that is in the table."""


def key_of(event: Result) -> bytes:
    """A compact key that makes the row of an event unique."""
    return make_key(event_id(event), replay_id(event))


def make_key(event_id: str, replay_id: str | None) -> bytes:
    """The key, from the columns of a row."""
    try:
        key = bytes.fromhex(event_id.replace("-", ""))
    except ValueError:
        key = event_id.encode()
    return key if replay_id is None else key + replay_id.encode()


@dataclass(frozen=True, slots=True)
class Load:
    """A request to read all events with ``low`` ≤ event time < ``high`` from the table.

    If it ``extends`` the window further back, the latest come first; otherwise it starts a new window.
    """

    low: int
    high: int
    extends: bool


class Window:
    """The keys of all events with ``low`` ≤ event time < ``high`` that are in the table.

    Holds at most about ``limit`` keys: when more are added, the oldest leave and ``low`` rises.
    """

    def __init__(self, limit: int) -> None:
        """The window is empty at first."""
        self.low = self.high = 0
        self._limit = limit
        self._margin = MARGIN
        self._minutes: dict[bytes, int] = {}

    def __len__(self) -> int:
        """The number of keys in the window."""
        return len(self._minutes)

    def covers(self, time: int, now: int) -> bool:
        """Whether the window knows if an event of this time is in the table.

        It does not for a time that is far ahead, see :mod:`sinks.bigquery.history`.
        """
        return self.low <= time < self.high and time <= now + DAY

    def __contains__(self, item: Item) -> bool:
        """Whether the event is in the table; valid only if its time is covered."""
        return item[1] in self._minutes

    def wanted(self, times: Sequence[int], now: int) -> Load | None:
        """What to read before events of these times are written; None if the window suffices.

        Events that are more than a day older than the window, or far ahead, do not move it: they are looked up by id.
        """
        plausible = sorted(time for time in times if time <= now + DAY and not self.covers(time, now))
        if not plausible:
            return None
        if self.low == self.high:
            return Load(plausible[len(plausible) // 10] - self._margin, FOREVER, extends=False)
        if ahead := [time for time in plausible if time >= self.high]:
            return Load(ahead[0] - self._margin, FOREVER, extends=False)
        late = [time for time in plausible if time >= self.low - DAY]
        if late and len(self) < 0.9 * self._limit:
            return Load(late[0] - MARGIN, self.low, extends=True)
        return None

    def loaded(self, load: Load, items: Sequence[Item], limit: int) -> None:
        """Add the events that were read: all of them, or the first ``limit`` in the requested order."""
        low, high = load.low, load.high
        if len(items) >= limit:
            # Some events with the last time may have been cut off.
            low, high = (items[-1][0] + 1, high) if load.extends else (low, items[-1][0])
        if load.extends:
            self.low = low
        else:
            # If the margin alone exceeds the limit, the events that required the window would never be covered.
            self._margin = 0 if high - low <= MARGIN else MARGIN
            self._minutes.clear()
            self.low, self.high = low, high
        self._keep(items)

    def add(self, time: int, key: bytes) -> None:
        """Remember that an event is in the table now."""
        self._keep([(time, key)])

    def _keep(self, items: Iterable[Item]) -> None:
        for time, key in items:
            if self.low <= time < self.high:
                self._minutes.setdefault(key, time // _MINUTE)
        if len(self) > self._limit:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        left, newest_gone = len(self), 0
        for minute, keys in sorted(Counter(self._minutes.values()).items()):
            left, newest_gone = left - keys, minute
            if left <= 0.9 * self._limit:
                break
        self.low = min((newest_gone + 1) * _MINUTE, self.high)
        self._minutes = {key: minute for key, minute in self._minutes.items() if minute > newest_gone}
