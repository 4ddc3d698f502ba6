"""Formats counted things for messages."""

from __future__ import annotations


def pluralize(count: int, one: str, many: str | None = None) -> str:
    """Format a count, such as ``2 frames``; ``many`` is the plural if it is not the singular with an s."""
    return f"{count} {one if count == 1 else many or f'{one}s'}"


def duration(seconds: float) -> str:
    """Format a duration by its two largest units, such as ``3 h 12 min``."""
    left = max(0, round(seconds))
    parts: list[str] = []
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, left = divmod(left, length)
        if count or parts:
            parts.append(f"{count} {unit}")
    return " ".join(part for part in parts[:2] if not part.startswith("0 ")) or "0 s"
