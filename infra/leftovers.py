"""A record on disk of the processes that a run has started, so that the next run can end those that outlived it."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
from contextlib import suppress
from pathlib import Path

import psutil

from infra.records import write_record

log = logging.getLogger(__name__)

SAME_START_S = 1.0
"""Process ids are reused, so a process is identified by its id and its start time, which may differ by this much."""


class Record:
    """A file with the process ids and start times of the running children; thread-safe.

    It only helps the next run, so an error while writing it, as on a full disk, is only logged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._started: dict[int, float] = {}
        self._warned = False

    def add(self, pid: int) -> None:
        """Record a child that has just been started."""
        with suppress(psutil.NoSuchProcess), self._lock:
            self._started[pid] = psutil.Process(pid).create_time()
            self._write()

    def remove(self, pid: int) -> None:
        """Remove a child that has ended."""
        with self._lock:
            self._started.pop(pid, None)
            self._write()

    def _write(self) -> None:
        try:
            write_record(self._path, self._started)
        except OSError as error:
            if not self._warned:  # once, because it will fail for every child, probably for the same reason
                log.warning("the record of running processes was not written: %s", error)
            self._warned = True


def end_leftovers(path: Path, timeout_s: float = 10) -> list[int]:
    """Kill the process groups in the record at ``path`` that still run; return their ids."""
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
