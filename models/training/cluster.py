"""Training with processes that an outside scheduler starts on several machines, such as an indexed Kubernetes Job.

All processes share a folder. The first one prepares the run, announces it in a file in that folder, and publishes the
version; the others wait for the announcement and take part.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from models.training.plan import Run

JOB = "FACESTREAM_TRAINING_JOB"
"""The environment variable with the unique id of the job."""
_EVERY_S = 0.5


class UnusableCluster(ValueError):
    """``TF_CONFIG`` does not describe a cluster; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """The processes that train together: the id of their job, their addresses, and the index of this process."""

    job: str
    addresses: tuple[str, ...]
    index: int

    @classmethod
    def from_environment(cls) -> Self | None:
        """The cluster that ``TF_CONFIG`` describes; None if the variable is not set.

        Raises:
            UnusableCluster: ``TF_CONFIG`` is invalid, or the job has no id.
        """
        text, job = os.environ.get("TF_CONFIG"), os.environ.get(JOB, "")
        if not text:
            return None
        try:
            said = json.loads(text)
            addresses, index = tuple(map(str, said["cluster"]["worker"])), int(said["task"]["index"])
        except (ValueError, KeyError, TypeError) as error:
            raise UnusableCluster(f"TF_CONFIG={text!r} names no workers and no task: {error!r}") from error
        if not 0 <= index < len(addresses):
            raise UnusableCluster(f"TF_CONFIG has {len(addresses)} workers, but this one has the index {index}")
        if not job.replace("-", "").isalnum():
            raise UnusableCluster(f"{JOB}={job!r}: give each job a unique id of letters, digits and hyphens")
        return cls(job, addresses, index)

    @contextmanager
    def announced(self, folder: Path, run: Run, old_folder: Path) -> Iterator[None]:
        """A context manager that announces a run to the other processes while it lasts."""
        announcement = self._announcement(folder)
        partial = announcement.with_suffix(".partial")
        partial.write_text(json.dumps([str(run.folder.absolute()), str(old_folder.absolute())]), "utf-8")
        partial.replace(announcement)
        try:
            yield
        finally:
            announcement.unlink(missing_ok=True)

    def await_run(self, folder: Path, timeout_s: float) -> tuple[Run, Path]:
        """Wait for the first process's run; return it, and the folder of the old version.

        Raises:
            TimeoutError: no run was announced in time.
        """
        deadline, announcement = time.monotonic() + timeout_s, self._announcement(folder)
        while True:
            try:
                run, old_folder = json.loads(announcement.read_bytes())
            except FileNotFoundError:
                if time.monotonic() > deadline:
                    raise TimeoutError(
                        f"{self.addresses[0]} has prepared no run in {folder} within {timeout_s:g} s: see its log"
                    ) from None
                time.sleep(_EVERY_S)
            else:
                return Run(Path(run)), Path(old_folder)

    def _announcement(self, folder: Path) -> Path:
        return folder / f".job-{self.job}.json"
