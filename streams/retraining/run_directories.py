"""Where a run is on disk, and how its version gets to the others.

``<versions>/.runs/<run id>/<token>`` is the folder of one claim. Nobody else writes there, so that a worker that has
lost its run, and does not know it yet, cannot spoil what its successor does; the successor begins with a copy.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from streams.settings import Settings

log = logging.getLogger(__name__)

_COPIES = 3


class RunDirectories:
    """The folders of runs and versions."""

    def __init__(self, settings: Settings) -> None:
        self.versions = settings.versions_dir
        self._runs = self.versions / ".runs"

    def of(self, run_id: str, token: int) -> Path:
        """The folder of one claim of a run."""
        return self._runs / run_id / str(token)

    def inherit(self, run_id: str, before: int, token: int) -> None:
        """Copy what a predecessor has done, with its checkpoint, if it is on this machine or a shared disk."""
        source, target = self.of(run_id, before), self.of(run_id, token)
        for _ in range(_COPIES):
            shutil.rmtree(target, ignore_errors=True)
            if not source.is_dir():
                return
            try:
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.partial"))
            except shutil.Error as error:
                # Its process may live on for some seconds, and replace a file meanwhile.
                log.warning("what run %s has done so far cannot be copied: %s", run_id, error)
                continue
            return
        shutil.rmtree(target, ignore_errors=True)

    def publish(self, run_id: str, token: int, version: str) -> bool:
        """Move a version to the others; whether it is there. Safe to repeat."""
        source, target = self.of(run_id, token) / version, self.versions / version
        if not target.exists() and source.is_dir():
            self.versions.mkdir(parents=True, exist_ok=True)
            try:
                source.rename(target)
            except OSError:
                if not target.exists():
                    raise
        return target.exists()

    def forget(self, run_id: str) -> None:
        """Remove what a run has left."""
        shutil.rmtree(self._runs / run_id, ignore_errors=True)
