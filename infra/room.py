"""Room on a file system: how much is free, and how much servers need to start and to go on."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_MB = 1_000_000


def free_bytes(folder: Path) -> int:
    """What this user may still write on the folder's file system; 0 where no more files can be made."""
    there = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
    found = os.statvfs(there)
    return 0 if found.f_files and not found.f_favail else found.f_bavail * found.f_frsize


@dataclass(frozen=True)
class Room:
    """The room in a folder, with the marks at which servers are stopped and may start.

    Between ``stop_bytes`` and ``start_bytes`` what runs goes on and what has ended waits, so that nothing comes and
    goes at one mark.
    """

    folder: Path
    start_bytes: int = 512 * _MB
    """Nothing is started with less."""
    stop_bytes: int = 256 * _MB
    """With less, what fills the disk is stopped in order."""
    kill_bytes: int = 32 * _MB
    """With less it is killed: it must not meet the full disk while it closes its files."""
    measure: Callable[[Path], int] = free_bytes

    def free(self) -> int:
        """What is free now, in bytes."""
        return self.measure(self.folder)

    def lack(self, free: int) -> str:
        """What is missing, for a person: how much there is, how much is wanted, where."""
        return f"{megabytes(free)} are free on the disk of {self.folder}, and {megabytes(self.start_bytes)} are wanted"


def megabytes(count: int) -> str:
    """A number of bytes in MB, rounded down."""
    return f"{count // _MB:,} MB"
