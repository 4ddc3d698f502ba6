"""Finds workers and servers of ``facestream up`` that crash repeatedly at the same place."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

from streams.operations.doctor.finding import Finding, fail
from streams.operations.doctor.remedies import Remedy
from streams.settings import Settings

FILE = "crashes.json"
"""Written by the supervisor; see ``infra.crash_loops``."""
_ROW = 3
_WELL_AFTER_S = 60.0
"""Seconds after its restart for which a process must live to count as recovered."""


def check(settings: Settings) -> Iterator[Finding]:
    """Read the supervisor's record in the home folder; without one there is no finding."""
    try:
        noted = json.loads((settings.home / FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return
    now = time.time()
    for name, one in noted.items():
        if one["count"] >= _ROW and now - one["last"] < (one["restart_in_s"] or 0.0) + _WELL_AFTER_S:
            yield fail(
                f"crashes of {name}",
                f"died {one['count']} times in {one['last'] - one['first']:.0f} s at the same place: "
                f"{one['line'] or 'exit code ' + str(one['exit_code'])}",
                Remedy.CRASHES(log=one["log"]),
            )
