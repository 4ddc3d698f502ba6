"""The templates whose consent ends, by minute."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

TemplateKey = tuple[str, str, str]
"""User, id and model version of a template."""


class ConsentEnds:
    """When the consent of each template ends. A change costs the same however many there are.

    Only what counts is kept: nothing is left of a template that was replaced or removed.
    """

    def __init__(self) -> None:
        self._ends: dict[int, dict[TemplateKey, datetime]] = {}
        self._minute_of: dict[TemplateKey, int] = {}
        self._first: int | None = None
        """No template ends before this minute; None: not known yet."""

    def set(self, key: TemplateKey, ends: datetime | None) -> None:
        """Note when the consent of a template ends; None: never."""
        self.discard(key)
        if ends is None:
            return
        minute = self._minute_of[key] = _minute(ends)
        self._ends.setdefault(minute, {})[key] = ends
        if self._first is not None:
            self._first = min(self._first, minute)

    def discard(self, key: TemplateKey) -> None:
        """Forget a template, if it is there."""
        minute = self._minute_of.pop(key, None)
        if minute is not None:
            del self._ends[minute][key]
            if not self._ends[minute]:
                del self._ends[minute]

    def take_due(self, now: datetime) -> Iterator[TemplateKey]:
        """Take out the templates whose consent has ended, in order of the minute."""
        last = _minute(now)
        if self._first is None or last - self._first > len(self._ends):
            due = sorted(minute for minute in self._ends if minute <= last)
        else:
            due = [minute for minute in range(self._first, last + 1) if minute in self._ends]
        for minute in due:
            for key in [key for key, ends in self._ends[minute].items() if ends <= now]:
                self.discard(key)
                yield key
        self._first = last


def _minute(time: datetime) -> int:
    return int(time.timestamp() // 60)
