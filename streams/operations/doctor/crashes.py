"""Workers and servers of ``facestream up`` that die again and again at one place."""

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
"""Who lives so long after it was started again is taken for mended."""


def check(settings: Settings) -> Iterator[Finding]:
    """Read the supervisor's note in the home; nothing is said where there is none."""
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
