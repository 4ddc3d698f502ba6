"""What is still to be posted, and when: no hook, and no event that its address refuses, holds up another.

Each event has pauses of its own, twice as long each time. An address that fails several times in a row is tried with
one event at a time, after pauses of its own; when it accepts one, all of its events are due again.
"""

from __future__ import annotations

import heapq
import random
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from streams.hooks.messages import HookedEvent, message_id

AT_ONCE = 4
"""Most events that are being posted to one hook at once."""
AT_ONCE_IN_ALL = 512
MOST_WAITING = 10_000
"""Most events of a worker that wait for one hook; beyond that the oldest are given up."""
LONGEST_PAUSE_S = 3_600.0
_LONGEST_REST_S = 600.0
_FAILURES_OF_AN_OUTAGE = 3
"""Failures in a row after which the address counts as away."""


@dataclass(slots=True, eq=False)
class Waiting:
    """An event that waits for its hook; ``partition`` is the number of the one it came in."""

    hook_id: str
    event: HookedEvent
    partition: int
    queued_at: datetime
    attempts: int = 0
    due: float = 0.0
    """On the monotonic clock."""
    is_over: bool = False
    """It is in no lane any more."""

    @property
    def key(self) -> tuple[str, str]:
        """Hook and message id."""
        return self.hook_id, message_id(self.event)


@dataclass(slots=True)
class _Lane:
    """The events of one hook, the oldest first; ``heap`` may have some that are over."""

    waiting: OrderedDict[str, Waiting] = field(default_factory=OrderedDict)
    heap: list[tuple[float, int, Waiting]] = field(default_factory=list)
    flying: int = 0
    failures: int = 0
    rest_until: float = 0.0
    accepted_at: datetime | None = None


class Backlog:
    """The events of one worker; not for several threads at once."""

    def __init__(self, retry_s: float, give_up_after: timedelta, spread: Callable[[], float] | None = None) -> None:
        """Make an empty one.

        Args:
            retry_s: the first pause.
            give_up_after: how long an event may wait.
            spread: gives the factor of each pause, so that not all end together; about 1.
        """
        self._retry_s = retry_s
        self._give_up_after = give_up_after
        self._spread = spread or (lambda: random.uniform(0.8, 1.2))
        self._lanes: dict[str, _Lane] = {}
        self._flying: set[Waiting] = set()
        self._count = 0

    def __len__(self) -> int:
        return sum(len(lane.waiting) for lane in self._lanes.values())

    def __iter__(self) -> Iterator[Waiting]:
        return (one for lane in list(self._lanes.values()) for one in list(lane.waiting.values()))

    def __contains__(self, key: tuple[str, str]) -> bool:
        lane = self._lanes.get(key[0])
        return lane is not None and key[1] in lane.waiting

    @property
    def flying(self) -> frozenset[Waiting]:
        """What is being posted right now, also what has been dropped meanwhile."""
        return frozenset(self._flying)

    def add(self, one: Waiting, now: float) -> list[Waiting]:
        """Add an event, due now; return those that are given up for it."""
        lane = self._lanes.setdefault(one.hook_id, _Lane())
        if one.key[1] in lane.waiting:
            return []
        lane.waiting[one.key[1]] = one
        self._put(lane, one, now)
        given_up = []
        if len(lane.waiting) > MOST_WAITING:
            oldest = next(each for each in lane.waiting.values() if each not in self._flying)
            self.remove(oldest)
            given_up.append(oldest)
        return given_up

    def take(self, now: float) -> list[Waiting]:
        """What is to be posted now; each is in flight until :meth:`accepted` or :meth:`failed`."""
        taken: list[Waiting] = []
        for lane in self._lanes.values():
            at_once = 1 if lane.failures else AT_ONCE
            while len(self._flying) < AT_ONCE_IN_ALL and lane.flying < at_once and now >= lane.rest_until:
                if (one := self._next(lane, now)) is None:
                    break
                lane.flying += 1
                self._flying.add(one)
                taken.append(one)
        return taken

    def next_due(self) -> float | None:
        """When there is something to take next, on the monotonic clock; None if that is not known yet."""
        due = [
            max(lane.heap[0][0], lane.rest_until)
            for lane in self._lanes.values()
            if lane.heap and lane.flying < (1 if lane.failures else AT_ONCE)
        ]
        return min(due, default=None) if len(self._flying) < AT_ONCE_IN_ALL else None

    def accepted(self, one: Waiting, now: float, at: datetime) -> bool:
        """Its address has it; return whether anybody still wants to know."""
        lane = self._landed(one)
        if lane is None:
            return False
        lane.accepted_at = at
        if lane.failures >= _FAILURES_OF_AN_OUTAGE:
            lane.heap = [(now, n, each) for _, n, each in lane.heap]
            heapq.heapify(lane.heap)
        lane.failures, lane.rest_until = 0, 0.0
        known = not one.is_over
        self.remove(one)
        return known

    def failed(self, one: Waiting, now: float, at: datetime, wait_s: float = 0.0) -> bool:
        """Its address did not accept it; return whether it is given up.

        Args:
            one: the event.
            now: on the monotonic clock.
            at: the time.
            wait_s: the shortest pause that the address asks for.
        """
        lane = self._landed(one)
        if lane is None:
            return False
        lane.failures += 1
        asked = min(wait_s, LONGEST_PAUSE_S)
        if wait_s or lane.failures >= _FAILURES_OF_AN_OUTAGE:
            rest = min(self._pause(lane.failures - _FAILURES_OF_AN_OUTAGE + 1), _LONGEST_REST_S)
            lane.rest_until = now + max(asked, rest * self._spread())
        if one.is_over:
            return False
        if at - one.queued_at >= self._give_up_after:
            self.remove(one)
            return True
        one.attempts += 1
        self._put(lane, one, now + max(asked, self._pause(one.attempts) * self._spread()))
        return False

    def has_accepted_since(self, hook_id: str, at: datetime) -> bool:
        """Whether the address of a hook has accepted anything since."""
        lane = self._lanes.get(hook_id)
        return lane is not None and lane.accepted_at is not None and lane.accepted_at >= at

    def remove(self, one: Waiting) -> None:
        """Have it not posted again."""
        one.is_over = True
        lane = self._lanes.get(one.hook_id)
        if lane is None:
            return
        if lane.waiting.get(one.key[1]) is one:
            del lane.waiting[one.key[1]]
        if not lane.waiting and not lane.flying and not lane.failures:
            del self._lanes[one.hook_id]

    def hook_ids(self) -> list[str]:
        """The hooks of which something waits, or which have failed last."""
        return list(self._lanes)

    def drop(self, hook_id: str) -> list[Waiting]:
        """Forget a hook; return what has waited for it."""
        lane = self._lanes.get(hook_id)
        if lane is None:
            return []
        dropped = list(lane.waiting.values())
        lane.failures = 0
        for one in dropped:
            self.remove(one)
        if not lane.flying:
            self._lanes.pop(hook_id, None)
        return dropped

    def _pause(self, attempts: int) -> float:
        return float(min(self._retry_s * 2.0 ** min(max(attempts, 1) - 1, 30), LONGEST_PAUSE_S))

    def _put(self, lane: _Lane, one: Waiting, due: float) -> None:
        one.due = due
        self._count += 1
        heapq.heappush(lane.heap, (due, self._count, one))

    def _next(self, lane: _Lane, now: float) -> Waiting | None:
        while lane.heap and (lane.heap[0][2].is_over or lane.heap[0][0] <= now):
            one = heapq.heappop(lane.heap)[2]
            if not one.is_over:
                return one
        return None

    def _landed(self, one: Waiting) -> _Lane | None:
        self._flying.discard(one)
        lane = self._lanes.get(one.hook_id)
        if lane is not None:
            lane.flying -= 1
        return lane
