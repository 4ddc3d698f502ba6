"""The ticks of a cron expression, in UTC: local time would skip or repeat a tick when daylight saving changes."""

from __future__ import annotations

from datetime import datetime, timedelta

from croniter import croniter  # type: ignore[import-untyped]

_EARLY = timedelta(seconds=0.5)
"""A timer that wakes this much before a tick means that tick, not the one before."""


class UnusableSchedule(ValueError):
    """The schedule is no cron expression."""


def check(expression: str) -> None:
    """Check a cron expression: five fields, or six with seconds last.

    Raises:
        UnusableSchedule: the expression cannot be understood.
    """
    if not croniter.is_valid(expression):
        raise UnusableSchedule(
            f"FACESTREAM_RETRAIN_SCHEDULE={expression!r} is no cron expression: "
            "give minute, hour, day, month and weekday, such as '0 3 * * *', or '' for never"
        )


def tick(expression: str, now: datetime) -> datetime:
    """The last tick up to now. Workers whose clocks differ, and timers that wake late, find the same tick."""
    found: datetime = croniter(expression, now + _EARLY).get_prev(datetime)
    return found


def run_id(due_at: datetime) -> str:
    """The id of the run of a tick; ids sort by time."""
    return f"{due_at:%Y%m%d-%H%M%S}"
