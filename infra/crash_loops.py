"""Children that die repeatedly for the same reason: reported in one line, and recorded for ``facestream doctor``.

The file ``crashes.json`` beside the record of running children has for each such child: how often it died for this
reason, the first and the last time (seconds since 1970), its exit code, the error in its log, the log, and the seconds
until its next start.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from pathlib import Path
from typing import Any

from infra.death import Death, last_words
from infra.records import write_record

log = logging.getLogger(__name__)

FILE = "crashes.json"
_SOON_S = 120.0
"""A death later than this after a restart does not count as a repetition."""
_NUMBERS = re.compile(r"0x[0-9a-f]+|\d+")


class CrashLoops:
    """Counts the deaths of children; thread-safe. Errors with the file are ignored, because it is only a help."""

    def __init__(self, record: Path | None) -> None:
        """``record`` is the file beside which ``crashes.json`` is written; that of an earlier run is removed."""
        self._path = record.with_name(FILE) if record else None
        self._lock = threading.Lock()
        self._known: dict[str, dict[str, Any]] = {}
        if self._path:
            self._path.unlink(missing_ok=True)

    def tell(self, death: Death) -> str:
        """Record a death, and return a sentence about it, or for a repeated one about all of them."""
        now, line = time.time(), last_words(death.log_tail)
        with self._lock:
            before = self._known.get(death.name)
            again = (
                before is not None
                and before["exit_code"] == death.exit_code
                and _NUMBERS.sub("#", before["line"]) == _NUMBERS.sub("#", line)
                and now - before["last"] < (before["restart_in_s"] or 0.0) + _SOON_S
            )
            self._known[death.name] = {
                "count": before["count"] + 1 if again and before else 1,
                "first": before["first"] if again and before else now,
                "last": now,
                "exit_code": death.exit_code,
                "line": line,
                "log": str(death.log),
                "restart_in_s": death.restart_in_s,
            }
            self._write()
            told = dict(self._known[death.name])
        if told["count"] == 1 or death.restart_in_s is None:
            return str(death)
        how = f"signal {-death.exit_code}" if death.exit_code < 0 else f"exit code {death.exit_code}"
        return (
            f"{death.name} died {told['count']} times in {now - told['first']:.0f} s at the same place ({how}): "
            f"{line or 'its log says nothing'}; it starts again in {death.restart_in_s:g} s; see {death.log}"
        )

    def _write(self) -> None:
        if self._path is None:
            return
        try:
            write_record(self._path, self._known)
        except OSError as error:
            log.debug("the record of crashes was not written: %s", error)
