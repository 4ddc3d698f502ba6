"""The folder of a worker's tables, which no other living worker uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from streams.kafka.consumer_groups import group_id
from streams.roles import Role
from streams.settings import Settings

_MOST = 1024
"""Workers of one role on one machine."""


@contextmanager
def claim_folder(role: Role, settings: Settings) -> Iterator[Path]:
    """Claim the first folder that no other worker has, so that a restarted worker finds its tables again.

    Raises:
        RuntimeError: there are as many workers of the role as there may be.
    """
    for number in range(_MOST):
        folder = settings.worker_dir(f"{group_id(role, settings)}-{number}")
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / "lock", blocking=False)
        try:
            lock.acquire()
        except filelock.Timeout:
            continue
        with lock:
            yield folder
            return
    raise RuntimeError(f"no free folder for the tables of {role} in {settings.worker_dir('')}")
