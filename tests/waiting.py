"""Waits for what services and workers do, and leaves the cores to them meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_SHORTEST_S, _LONGEST_S = 0.02, 0.5


def pause_s(asked_at: float) -> float:
    """How long to wait before what was asked is asked again: three times as long as it took, within limits.

    Some questions start a client or a process, or read a whole topic: asked without a pause they would take most of the
    cores from what they wait for.

    Args:
        asked_at: when it was asked, in seconds of ``time.monotonic``.
    """
    return min(max(_SHORTEST_S, 3 * (time.monotonic() - asked_at)), _LONGEST_S)


def wait_until(ask: Callable[[], T | None], timeout_s: float = 60, what: str = "what is waited for") -> T:
    """Ask until the answer is neither empty nor None, and return it."""
    deadline = time.monotonic() + timeout_s
    while True:
        asked_at = time.monotonic()
        if answer := ask():
            return answer
        assert time.monotonic() < deadline, f"not so within {timeout_s:g} s: {what}"
        time.sleep(pause_s(asked_at))
