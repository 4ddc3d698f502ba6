"""A line on the terminal while a command is being loaded, which takes seconds on a busy machine.

It goes when anything else is written. Nothing is shown where stderr is no terminal. Imports nothing that takes time.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

_ERASE = "\r\x1b[K"


class _Clearing:
    """A stream that removes the line before its first write."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write as the stream does."""
        if text:
            clear()
        written: int = self._stream.write(text)
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


_shown: list[tuple[str, Any, _Clearing]] = []
"""The streams of :mod:`sys` that are put back when the line is removed."""


def show(arguments: Sequence[str]) -> None:
    """Tell people that a command is being loaded."""
    if _shown or not _is_terminal(sys.stderr) or os.environ.get("TERM") in (None, "", "dumb"):
        return
    command = next((word for word in arguments if not word.startswith("-")), "")
    sys.stderr.write(f"facestream {command}".rstrip() + ": starting …")
    sys.stderr.flush()
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if _is_terminal(stream):
            _shown.append((name, stream, _Clearing(stream)))
            setattr(sys, name, _shown[-1][2])


def clear() -> None:
    """Remove the line, if it is there."""
    if not _shown:
        return
    streams = _shown.copy()
    _shown.clear()
    for name, stream, stand_in in streams:
        # Other code may have replaced the stream.
        if getattr(sys, name) is stand_in:
            setattr(sys, name, stream)
    terminal = streams[-1][1]
    try:
        terminal.write(_ERASE)
        terminal.flush()
    except (OSError, ValueError):
        pass  # the terminal is gone


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):
        return False
