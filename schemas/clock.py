"""The time, as events carry it."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The present as an aware UTC datetime."""
    return datetime.now(UTC)
