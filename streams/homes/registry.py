"""The home folders of this user, so that one finds what runs elsewhere.

In the user's state folder there is a file for each home in which ``facestream up`` ran; it is dropped when the home is
gone. What runs in a home, the home itself says.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from streams.homes.files import write_json
from streams.homes.ports import PORTS_FILE
from streams.homes.run import Run, announced, current

_WAIT_S = 5.0
_STATE = "XDG_STATE_HOME"
_SIGNS = ("pid", PORTS_FILE)
"""Files of which every folder has one in which services run or ran; see ``infra.services`` and ``ports``."""


def state_folder() -> Path:
    """The user's folder for state that is no data."""
    if sys.platform == "darwin" and not os.environ.get(_STATE):
        return Path.home() / "Library" / "Application Support" / "facestream"
    return Path(os.environ.get(_STATE) or Path.home() / ".local" / "state") / "facestream"


def remember(home: Path) -> None:
    """Enter a home. Errors are ignored: nothing but a hint depends on it."""
    home = home.absolute()
    with suppress(OSError, RuntimeError):  # a user without a home folder
        entry = _entries() / f"{hashlib.sha256(os.fsencode(home)).hexdigest()[:16]}.json"
        write_json(entry, {"home": str(home)})


@contextmanager
def alone() -> Iterator[None]:
    """Let one process at a time choose what differs between homes. Where no file can be locked, none waits."""
    with ExitStack() as held:
        with suppress(OSError, RuntimeError):
            state_folder().mkdir(parents=True, exist_ok=True)
            held.enter_context(FileLock(state_folder() / "lock", timeout=_WAIT_S))
        yield


def homes() -> list[Path]:
    """The homes that are still there; others are dropped."""
    return sorted(_known())


def running() -> list[tuple[Path, Run]]:
    """The homes in which a stack runs and is ready."""
    found = ((home, current(home)) for home in homes())
    return [(home, run) for home, run in found if run is not None and announced(home) is not None]


def _entries() -> Path:
    return state_folder() / "homes"


def _known() -> Iterator[Path]:
    with suppress(OSError, RuntimeError):
        for entry in _entries().glob("*.json"):
            home = None
            with suppress(OSError, ValueError, KeyError, TypeError):
                home = Path(json.loads(entry.read_text("utf-8"))["home"])
            if home is not None and any((home / sign).exists() for sign in _SIGNS):
                yield home
            else:
                entry.unlink(missing_ok=True)
