"""Room on a file system: how much is free, and how much servers need to start and to keep running."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_MB = 1_000_000


def free_bytes(folder: Path) -> int:
    """The bytes that this user can still write on the folder's file system; 0 if no more files can be created."""
    found = os.statvfs(_nearest(folder))
    return 0 if found.f_files and not found.f_favail else found.f_bavail * found.f_frsize


def _size_bytes(folder: Path) -> int:
    found = os.statvfs(_nearest(folder))
    return found.f_blocks * found.f_frsize


def _nearest(folder: Path) -> Path:
    return next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())


@dataclass(frozen=True)
class Room:
    """The room in a folder, with the limits below which servers are stopped, or not started.

    Between ``stop_bytes`` and ``start_bytes``, running servers continue and stopped ones wait, so that servers do not
    start and stop repeatedly at one limit.
    """

    folder: Path
    start_bytes: int = 512 * _MB
    """With less, nothing is started."""
    stop_bytes: int = 256 * _MB
    """With less, children that fill the disk are stopped."""
    kill_bytes: int = 32 * _MB
    """With less, they are killed, because they must not meet a full disk while they close their files."""
    measure: Callable[[Path], int] = free_bytes

    @classmethod
    def of(cls, folder: Path, measure: Callable[[Path], int] = free_bytes) -> Self:
        """The usual limits, or smaller ones on a small file system."""
        size = _size_bytes(folder)
        marks = {"start_bytes": size * 2 // 5, "stop_bytes": size // 5, "kill_bytes": size // 20}
        usual = {name: getattr(cls, name) for name in marks}
        return cls(folder, **{name: min(mark, usual[name]) for name, mark in marks.items()}, measure=measure)

    def free(self) -> int:
        """The bytes that are free now."""
        return self.measure(self.folder)

    def lack(self, free: int) -> str:
        """A sentence about how much is free, and how much is needed."""
        return f"{megabytes(free)} are free on the disk of {self.folder}, and {megabytes(self.start_bytes)} are needed"


def megabytes(count: int) -> str:
    """A number of bytes in MB, rounded down."""
    return f"{count // _MB:,} MB"
