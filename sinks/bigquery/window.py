"""Which events of a partition are in the table already: exactly known for a window of event time, unknown outside.

Event time orders the window since it is the same however often a message comes; the time of writing is not. A producer
who sends an event again may give it another time, so within the window an event is known by its key alone. All times
are microseconds since 1970.
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
"""How far a window reaches back beyond the events that call for it, so that the next late one is in it too."""
DAY = 24 * 60 * _MINUTE

Item = tuple[int, bytes]
"""Event time and key of an event that is in the table."""


def key_of(event: Result) -> bytes:
    """What makes an event's row unique, in little memory."""
    return make_key(event_id(event), replay_id(event))


def make_key(event_id: str, replay_id: str | None) -> bytes:
    """The same from the columns of a row."""
    try:
        key = bytes.fromhex(event_id.replace("-", ""))
    except ValueError:
        key = event_id.encode()
    return key if replay_id is None else key + replay_id.encode()


@dataclass(frozen=True, slots=True)
class Load:
    """What to read from the table: all events from ``low`` until before ``high``, the latest first if ``extends``.

    It begins the window anew, or extends the one there is further back.
    """

    low: int
    high: int
    extends: bool


class Window:
    """The keys of all events with ``low`` ≤ event time < ``high`` that are in the table.

    Holds at most about ``limit`` keys: when more are added, the oldest leave and ``low`` rises.
    """

    def __init__(self, limit: int) -> None:
        """Nothing is known yet."""
        self.low = self.high = 0
        self._limit = limit
        self._margin = MARGIN
        self._minutes: dict[bytes, int] = {}

    def __len__(self) -> int:
        """How many keys are held."""
        return len(self._minutes)

    def covers(self, time: int, now: int) -> bool:
        """Whether presence of an event of that time is known.

        It is not for a time that is far ahead: see :mod:`sinks.bigquery.history`.
        """
        return self.low <= time < self.high and time <= now + DAY

    def __contains__(self, item: Item) -> bool:
        """Whether the event is in the table; an answer only where covered."""
        return item[1] in self._minutes

    def wanted(self, times: Sequence[int], now: int) -> Load | None:
        """What to read before events of these times are written, None if the window will do.

        Events more than a day older than the window, and those far ahead, do not move it: they are looked up by id.
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
        """Take in what was read: all there is, or the first ``limit`` in the order that was asked for."""
        low, high = load.low, load.high
        if len(items) >= limit:
            # Events of the last time may have been cut off.
            low, high = (items[-1][0] + 1, high) if load.extends else (low, items[-1][0])
        if load.extends:
            self.low = low
        else:
            # Where the margin alone is more than can be read, what called for it would never be covered.
            self._margin = 0 if high - low <= MARGIN else MARGIN
            self._minutes.clear()
            self.low, self.high = low, high
        self._keep(items)

    def add(self, time: int, key: bytes) -> None:
        """Note that an event is in the table now."""
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
