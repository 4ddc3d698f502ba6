"""What the supervisor runs: a command, how it is restarted, and the process that runs it."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Ready = Callable[[], bool]
"""Tells whether a child serves. An exception counts as "not yet", and is reported when the time is over."""


@dataclass(frozen=True)
class Backoff:
    """Restart a child that died, after a wait that doubles with each consecutive death."""

    first_s: float = 0.5
    most_s: float = 20
    healthy_after_s: float = 60
    tries: int | None = None
    """Largest number of consecutive restarts; None: no limit."""

    def wait_s(self, deaths_in_a_row: int) -> float:
        """Seconds to wait after this many consecutive deaths, from 1."""
        return float(min(self.most_s, self.first_s * 2 ** min(deaths_in_a_row - 1, 30)))


@dataclass(frozen=True)
class Command:
    """What a child runs, and how it is supervised."""

    name: str
    argv: Sequence[str]
    log: Path
    env: Mapping[str, str]
    cwd: Path | None
    ready: Ready | None
    timeout_s: float
    grace_s: float
    stage: int
    restart: Backoff | None
    background: bool
    fills_disk: bool
    before: Callable[[], None] | None


@dataclass
class Child:
    """A command and the process that runs it at present."""

    command: Command
    process: subprocess.Popen[bytes]
    ready: bool = False
    held: bool = False
    """Stopped because the disk is full; it restarts when there is room."""
    began: float = field(default_factory=time.monotonic)
    stopping: threading.Event = field(default_factory=threading.Event)
    gone: threading.Event = field(default_factory=threading.Event)
