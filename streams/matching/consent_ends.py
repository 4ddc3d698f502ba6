"""The templates whose consent ends, by hour."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from datetime import datetime

TemplateKey = tuple[str, str, str]
"""User, id and model version of a template."""

_HOUR_S = 3600


class ConsentEnds:
    """When the consent of each template ends. A change costs the same however many there are.

    Only what counts is kept: nothing is left of a template that was replaced or removed.
    """

    def __init__(self) -> None:
        self._hours: list[int] = []
        """A heap of the hours below."""
        self._ends: dict[int, dict[TemplateKey, datetime]] = {}
        self._hour_of: dict[TemplateKey, int] = {}

    def set(self, key: TemplateKey, ends: datetime | None) -> None:
        """Note when the consent of a template ends; None: never."""
        self.discard(key)
        if ends is None:
            return
        hour = int(ends.timestamp() // _HOUR_S)
        if hour not in self._ends:
            self._ends[hour] = {}
            heapq.heappush(self._hours, hour)
        self._ends[hour][key] = ends
        self._hour_of[key] = hour

    def discard(self, key: TemplateKey) -> None:
        """Forget a template, if it is there."""
        hour = self._hour_of.pop(key, None)
        if hour is not None:
            del self._ends[hour][key]

    def take_due(self, now: datetime) -> Iterator[TemplateKey]:
        """Take out the templates whose consent has ended."""
        while self._hours and self._hours[0] <= now.timestamp() // _HOUR_S:
            hour = self._hours[0]
            for key in [key for key, ends in self._ends[hour].items() if ends <= now]:
                self.discard(key)
                yield key
            if self._ends[hour]:
                return
            del self._ends[heapq.heappop(self._hours)]
