"""Moments as people write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from streams.replay.errors import ReplayError

OLDEST = datetime.fromtimestamp(0, UTC)
"""Stands for the beginning of the log, wherever that is."""
_AGO = re.compile(r"-(\d+(?:\.\d+)?)(s|m|h|d|w)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_time(text: str, now: datetime) -> datetime:
    """A moment: ``now``, ``oldest``, so long ago (``-90s``, ``-2h``, ``-1.5d``), or ISO 8601, in UTC if it has no zone.

    Raises:
        ReplayError: it is none of these.
    """
    word = text.strip()
    if word in ("now", "oldest"):
        return now if word == "now" else OLDEST
    if ago := _AGO.fullmatch(word):
        return now - timedelta(**{_UNITS[ago[2]]: float(ago[1])})
    try:
        at = datetime.fromisoformat(word)
    except ValueError as error:
        raise ReplayError(
            f"{text!r} is no time: give ISO 8601 like {now:%Y-%m-%dT%H:%M}Z, or -2h, -3d, now or oldest"
        ) from error
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
