"""Formats counted things for messages."""

from __future__ import annotations


def pluralize(count: int, one: str, many: str | None = None) -> str:
    """Format a count, such as ``2 frames``; ``many`` is the plural if it is not the singular with an s."""
    return f"{count} {one if count == 1 else many or f'{one}s'}"
