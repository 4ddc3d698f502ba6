"""The state of each child, in a file for ``facestream status`` and ``facestream doctor``.

The file ``state.json`` beside the record of running children has for each child: its state, the process id (null if no
process runs), since when it has been in this state, the times of its unexpected deaths, the exit code of the last one,
the time of its next start if it waits for one, and its log. Times are seconds since 1970.
"""

from __future__ import annotations

import logging
import threading
import time
from enum import StrEnum
from pathlib import Path
from typing import Any

from infra.death import Death
from infra.records import write_record

log = logging.getLogger(__name__)

FILE = "state.json"
_DEATHS = 50
"""Most deaths of a child whose times are kept."""


class State(StrEnum):
    """What a child is doing."""

    STARTING = "starting"
    RUNNING = "running"
    RESTARTING = "restarting"
    """It died, and waits for its next start."""
    HELD = "held"
    """It waits until the disk has room."""
    FAILED = "failed"
    """It died, and is not started again."""
    STOPPED = "stopped"


class ChildStates:
    """Keeps the file up to date; thread-safe. Errors with the file are ignored, because it is only a help."""

    def __init__(self, record: Path | None) -> None:
        """``record`` is the file beside which ``state.json`` is written; that of an earlier run is removed."""
        self._path = record.with_name(FILE) if record else None
        self._lock = threading.Lock()
        self._known: dict[str, dict[str, Any]] = {}
        self.remove()

    def put(self, name: str, state: State, pid: int | None = None, log: Path | None = None) -> None:
        """Note the state of a child; without a process id, one that runs keeps the one it has."""
        with self._lock:
            now = time.time()
            before = self._known.get(name, {"pid": None, "deaths": [], "exit_code": None, "log": None})
            runs = state in (State.STARTING, State.RUNNING)
            self._known[name] = before | {
                "state": str(state),
                "pid": (pid or before["pid"]) if runs else None,
                "since": now,
                "restart_at": None,
                "log": str(log) if log else before["log"],
            }
            self._write()

    def died(self, death: Death) -> None:
        """Note an unexpected death, and when the child starts again."""
        again = death.restart_in_s is not None
        self.put(death.name, State.RESTARTING if again else State.FAILED, log=death.log)
        with self._lock:
            one = self._known[death.name]
            one["exit_code"] = death.exit_code
            if again:
                one["deaths"] = [*one["deaths"], one["since"]][-_DEATHS:]
                one["restart_at"] = one["since"] + (death.restart_in_s or 0.0)
            self._write()

    def remove(self) -> None:
        """Remove the file: nothing runs."""
        if self._path is not None:
            try:
                self._path.unlink(missing_ok=True)
            except OSError as error:
                log.debug("the states of the children were not removed: %s", error)

    def _write(self) -> None:
        if self._path is None:
            return
        try:
            write_record(self._path, self._known)
        except OSError as error:
            log.debug("the states of the children were not written: %s", error)
