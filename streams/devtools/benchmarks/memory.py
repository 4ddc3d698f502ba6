"""Measures the memory of workers during a benchmark."""

from __future__ import annotations

import threading
from typing import Self

import psutil

from streams.devtools.local_stack import Stack

_EVERY_S = 0.5


class Memory:
    """Samples the resident memory of each worker; ``largest_mb`` is the peak of the largest worker of each role."""

    def __init__(self, stack: Stack) -> None:
        self.largest_mb: dict[str, int] = {}
        self._stack = stack
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_EVERY_S):
            for name, leader in self._stack.services.supervisor.running().items():
                role = name.rpartition("-")[0]
                if role:
                    self.largest_mb[role] = max(self.largest_mb.get(role, 0), _resident_mb(leader))


def _resident_mb(leader: int) -> int:
    """The resident memory of a process and its children, in MiB."""
    try:
        process = psutil.Process(leader)
        return sum(one.memory_info().rss for one in [process, *process.children(recursive=True)]) // 2**20
    except psutil.NoSuchProcess:
        return 0
