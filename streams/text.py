"""How numbers of things are said to people."""

from __future__ import annotations


def pluralize(count: int, one: str, many: str | None = None) -> str:
    """``1 frame``, ``2 frames``; ``many`` where the plural is not the singular with an s."""
    return f"{count} {one if count == 1 else many or f'{one}s'}"
