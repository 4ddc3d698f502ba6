"""Which ``facestream up`` runs in a home folder."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from streams.homes.processes import identity, is_same
from streams.settings import RUNNING_FILE

UP_FILE = "up.json"
"""In the home folder while a stack runs or starts there: the process, since when, and with which options."""


@dataclass(frozen=True, slots=True)
class Run:
    """A process that runs the services of a home folder."""

    pid: int
    identity: str
    began: float
    """Seconds since 1970."""
    workers: bool
    embedder: str

    @classmethod
    def own(cls, workers: bool, embedder: str) -> Run:
        """This process."""
        pid = os.getpid()
        return cls(pid, identity(pid) or "", time.time(), workers, embedder)

    def text(self) -> str:
        """What the file says."""
        return json.dumps(asdict(self), indent=2) + "\n"

    def lives(self) -> bool:
        """Whether the process still runs."""
        return is_same(self.pid, self.identity)

    @property
    def age_s(self) -> float:
        """Seconds since it began."""
        return max(0.0, time.time() - self.began)

    @property
    def since(self) -> str:
        """When it began, in local time."""
        began = datetime.fromtimestamp(self.began).astimezone()
        today = began.date() == datetime.now().astimezone().date()
        return f"{began:%H:%M:%S}" if today else f"{began:%Y-%m-%d %H:%M:%S}"


def noted(home: Path) -> Run | None:
    """The run that the file in a home names, whether it still lives or was killed."""
    try:
        return Run(**json.loads((home / UP_FILE).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def current(home: Path) -> Run | None:
    """The run that lives in a home."""
    run = noted(home)
    return run if run is not None and run.lives() else None


def announced(home: Path) -> dict[str, Any] | None:
    """What a run has written when everything served: ``settings`` with the addresses, ``workers`` with theirs."""
    try:
        told = json.loads((home / RUNNING_FILE).read_text("utf-8"))
        return told if isinstance(told, dict) and isinstance(told.get("settings"), dict) else None
    except (OSError, ValueError):
        return None
