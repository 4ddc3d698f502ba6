"""Room on a file system: how much is free, and how much servers need to start and to go on."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_MB = 1_000_000


def free_bytes(folder: Path) -> int:
    """What this user may still write on the folder's file system; 0 where no more files can be made."""
    found = os.statvfs(_nearest(folder))
    return 0 if found.f_files and not found.f_favail else found.f_bavail * found.f_frsize


def _size_bytes(folder: Path) -> int:
    found = os.statvfs(_nearest(folder))
    return found.f_blocks * found.f_frsize


def _nearest(folder: Path) -> Path:
    return next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())


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

    @classmethod
    def of(cls, folder: Path, measure: Callable[[Path], int] = free_bytes) -> Self:
        """The usual marks, or on a small file system shares of it."""
        size = _size_bytes(folder)
        marks = {"start_bytes": size * 2 // 5, "stop_bytes": size // 5, "kill_bytes": size // 20}
        usual = {name: getattr(cls, name) for name in marks}
        return cls(folder, **{name: min(mark, usual[name]) for name, mark in marks.items()}, measure=measure)

    def free(self) -> int:
        """What is free now, in bytes."""
        return self.measure(self.folder)

    def lack(self, free: int) -> str:
        """What is missing, for a person: how much there is, how much is wanted, where."""
        return f"{megabytes(free)} are free on the disk of {self.folder}, and {megabytes(self.start_bytes)} are wanted"


def megabytes(count: int) -> str:
    """A number of bytes in MB, rounded down."""
    return f"{count // _MB:,} MB"
