"""The folders of runs, and the move of a run's version to the other versions.

``<versions>/.runs/<run id>/<token>`` is the folder of one claim. Only the worker with this fencing token writes there:
one that has lost its run without knowing it cannot damage its successor's work, which begins with a copy.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from streams.retraining.job_process import JobProcess
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
        """Copy a predecessor's folder with its checkpoint, if it is on this machine or a shared disk."""
        source, target = self.of(run_id, before), self.of(run_id, token)
        for _ in range(_COPIES):
            shutil.rmtree(target, ignore_errors=True)
            if not source.is_dir():
                return
            try:
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.partial"))
            except shutil.Error as error:
                # The predecessor's process may live on for some seconds, and replace a file meanwhile.
                log.warning("what run %s has done so far cannot be copied: %s", run_id, error)
                continue
            return
        shutil.rmtree(target, ignore_errors=True)

    def publish(self, run_id: str, token: int, version: str) -> bool:
        """Move a version to the other versions; return whether it is there. Safe to repeat."""
        source, target = self.of(run_id, token) / version, self.versions / version
        if not target.exists() and source.is_dir():
            self.versions.mkdir(parents=True, exist_ok=True)
            try:
                source.rename(target)
            except OSError:
                if not target.exists():
                    raise
        return target.exists()

    def remove(self, run_id: str) -> None:
        """Remove the folders of a run."""
        shutil.rmtree(self._runs / run_id, ignore_errors=True)

    def empty(self, run_id: str) -> None:
        """Remove what is in the folders of a run, people's faces among it, but for the logs."""
        for path in (self._runs / run_id).glob("*/*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != JobProcess.LOG:
                path.unlink(missing_ok=True)
