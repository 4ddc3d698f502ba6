"""The worker's side of a training process: start it, keep it alive, ask for its status and result."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from streams.retraining.job_files import JobResult, JobSpec, JobStatus

COMMAND = (sys.executable, "-m", "streams.retraining.job_main")
"""Runs a training; the folder with the job specification is its last argument."""
_ROOT = Path(__file__).parents[2]
_LAST_LINES = 5


class JobProcess:
    """One training process, in a process group of its own."""

    LOG = "training.log"
    """The file with what it prints, in its folder."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.folder = folder
        self._process = process

    @classmethod
    def start(cls, folder: Path, spec: JobSpec, command: Sequence[str] = COMMAND) -> Self:
        """Start it in a folder of its own.

        Raises:
            OSError: the folder cannot be written, or the command cannot be run.
        """
        folder.mkdir(parents=True, exist_ok=True)
        inherited = JobResult.read(folder)
        if inherited is not None and inherited.version is None:
            JobResult.remove(folder)
        spec.write(folder)
        path = os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")])
        with (folder / cls.LOG).open("ab") as output:
            process = subprocess.Popen(
                [*command, str(folder.absolute())],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=os.environ | {"PYTHONPATH": path},
                process_group=0,
            )
        return cls(folder, process)

    def send_keepalive(self) -> None:
        """Tell it that the worker lives and still has the run."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            os.write(self._process.stdin.fileno(), b".")

    def status(self) -> JobStatus:
        """How far the training is."""
        return JobStatus.read(self.folder) or JobStatus()

    def result(self) -> JobResult | None:
        """What came of it; None while it works."""
        code = self._process.poll()
        if code is None:
            return None
        return JobResult.read(self.folder) or JobResult(
            error=f"the training ended with exit code {code}: {self._last_lines()}"
        )

    def stop(self) -> None:
        """Kill it and everything that it has started, and wait for its end."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()

    def _last_lines(self) -> str:
        log = self.folder / self.LOG
        return " / ".join(log.read_text("utf-8", "replace").splitlines()[-_LAST_LINES:])
