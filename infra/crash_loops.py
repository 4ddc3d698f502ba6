"""Children that die again and again at one place: told in one line, and noted for ``facestream doctor``.

``crashes.json`` beside the record of what runs holds for each such child: how often it died there, since when and when
last (seconds since 1970), its exit code, what its log says went wrong, the log, and in how many seconds it starts
again.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from pathlib import Path
from typing import Any

from infra.death import Death, last_words

log = logging.getLogger(__name__)

FILE = "crashes.json"
_SOON_S = 120.0
"""A death that comes later than this after its restart is no longer one of a row."""
_NUMBERS = re.compile(r"0x[0-9a-f]+|\d+")


class CrashLoops:
    """What children died of, by name; safe for use by several threads. It only helps: no error of the file counts."""

    def __init__(self, record: Path | None) -> None:
        """``record`` is the file beside which the note is kept; what an earlier run noted goes."""
        self._path = record.with_name(FILE) if record else None
        self._lock = threading.Lock()
        self._known: dict[str, dict[str, Any]] = {}
        if self._path:
            self._path.unlink(missing_ok=True)

    def tell(self, death: Death) -> str:
        """Note a death, and say it: the first at a place, or how many there have been."""
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
        new = self._path.with_suffix(".new")
        try:
            new.write_text(json.dumps(self._known), "utf-8")
            new.replace(self._path)
        except OSError as error:
            log.debug("the note of what died was not written: %s", error)
