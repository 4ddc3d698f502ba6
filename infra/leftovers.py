"""The processes that a run has started, on disk, so that the next run can end those that outlived it."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
from contextlib import suppress
from pathlib import Path

import psutil

log = logging.getLogger(__name__)

SAME_START_S = 1.0
"""A process id is used again some day: the same id and the same start time is the same process."""


class Record:
    """A file with the process ids and start times of the children that run; safe for use by several threads.

    It only helps the next run: where it cannot be written, as on a full disk, that is logged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._started: dict[int, float] = {}
        self._warned = False

    def add(self, pid: int) -> None:
        """Remember a child that has just been started."""
        with suppress(psutil.NoSuchProcess), self._lock:
            self._started[pid] = psutil.Process(pid).create_time()
            self._write()

    def remove(self, pid: int) -> None:
        """Forget a child that has ended."""
        with self._lock:
            self._started.pop(pid, None)
            self._write()

    def _write(self) -> None:
        new = self._path.with_suffix(".new")
        try:
            new.write_text(json.dumps(self._started), "utf-8")
            new.replace(self._path)
        except OSError as error:
            if not self._warned:  # once: it fails again with every child, and most likely for the same reason
                log.warning("the record of what runs was not written: %s", error)
            self._warned = True


def end_leftovers(path: Path, timeout_s: float = 10) -> list[int]:
    """Kill the process groups that the record at path names and that still run; returns their ids."""
    try:
        started: dict[str, float] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return []
    left = []
    for pid, create_time in started.items():
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(int(pid))
            if abs(process.create_time() - create_time) < SAME_START_S:
                left.append(process)
    for process in left:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    psutil.wait_procs(left, timeout=timeout_s)
    path.unlink(missing_ok=True)
    return [process.pid for process in left]
