"""Recognises a process again, because process ids are reused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_START = 19
"""Place of the start time among the fields of ``/proc/PID/stat`` behind the name of the program."""


def identity(pid: int) -> str | None:
    """When a process began, so that no later one of the same id has the same; None if there is no such process."""
    if sys.platform == "linux":
        try:
            text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
            state, *fields = text.rpartition(")")[2].split()
            # In clock ticks since the machine was started: a clock that is set changes nothing.
            return None if state == "Z" else f"{_BOOT.read_text('utf-8').strip()} {fields[_START - 1]}"
        except OSError:
            return None
    ended = subprocess.run(
        ["/bin/ps", "-o", "lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    return ended.stdout.strip() or None


def is_same(pid: int, known: str) -> bool:
    """Whether the process of this id is the one that had this identity."""
    return identity(pid) == known
