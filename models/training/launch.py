"""Runs a training in several processes, and restarts all from the last checkpoint if one of them dies."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from models.training.cluster import Cluster
from models.training.history import TrainingProgress
from models.training.loop import Outcome
from models.training.plan import Run

_ROOT = Path(__file__).parents[2]
_EVERY_S = 0.2
_LAST_LINES = 15
_OTHERS_S = 60.0


class TrainingFailed(RuntimeError):
    """The workers died too often; the message has the last lines of one worker's log."""


@dataclass(frozen=True, slots=True)
class Launched:
    """The result of a run."""

    outcomes: list[Outcome]
    """The result of each worker. In a cluster, only the first process has all of them; others have their own."""
    restarts: int

    @property
    def identical(self) -> bool:
        """Whether all workers ended with identical weights, to the last bit."""
        return len({outcome.digest for outcome in self.outcomes}) == 1

    @property
    def samples_per_s(self) -> float:
        """Samples a second of all workers together."""
        return min(outcome.samples_per_s for outcome in self.outcomes)


def launch(
    run: Run,
    old_folder: Path,
    *,
    workers: int = 1,
    cluster: Cluster | None = None,
    threads: int = 0,
    restarts: int = 3,
    say: Callable[[TrainingProgress], None] = lambda progress: None,
    started: Callable[[list[int]], None] = lambda pids: None,
) -> Launched:
    """Start the workers, and restart all of them whenever one dies.

    Args:
        run: the prepared run.
        old_folder: the folder of the version that the run starts from.
        workers: number of processes.
        cluster: if given, only this machine's worker is started; the other machines start and end theirs.
        threads: of each worker; 0: all cores.
        restarts: the number of restarts before the training fails.
        say: called with the progress.
        started: called with the process ids after each start.

    Raises:
        TrainingFailed: workers died more often than that.
    """
    numbers = [cluster.index] if cluster else list(range(workers))
    # The first process may remove the run once it has all results, so the others wait only for their own.
    everyone = range(len(cluster.addresses)) if cluster and cluster.index == 0 else numbers
    for restart in range(restarts + 1):
        addresses = cluster.addresses if cluster else [f"127.0.0.1:{port}" for port in _free_ports(workers)]
        if _once(run, old_folder, numbers, addresses, threads, say, started) and _all_ended(run, everyone):
            outcomes = [Outcome(**json.loads(run.result(number).read_bytes())) for number in everyone]
            return Launched(outcomes, restart)
    raise TrainingFailed(
        f"training failed {restarts + 1} times; the last lines of worker {numbers[0]}:\n"
        f"{_last_lines(run.log(numbers[0]))}"
    )


def _once(
    run: Run,
    old_folder: Path,
    numbers: Sequence[int],
    addresses: Sequence[str],
    threads: int,
    say: Callable[[TrainingProgress], None],
    started: Callable[[list[int]], None],
) -> bool:
    """Run these workers until all have succeeded; if one fails, kill the others."""
    for number in numbers:
        run.result(number).unlink(missing_ok=True)
    progress_file = _ProgressFile(run.progress, say)
    with ExitStack() as stack:
        processes = []
        for number in numbers:
            log = stack.enter_context(run.log(number).open("wb"))
            process = _start(run, old_folder, number, addresses, threads, log.fileno())
            stack.callback(_end, process)
            processes.append(process)
        started([process.pid for process in processes])
        while any(process.poll() is None for process in processes):
            if any(process.poll() for process in processes):
                break
            progress_file.report_new()
            time.sleep(_EVERY_S)
    # The rest is reported only now, when all have ended: the next attempt reports what is new then.
    progress_file.report_new()
    return all(process.returncode == 0 for process in processes)


def _all_ended(run: Run, numbers: Iterable[int]) -> bool:
    """Whether all have written their results. Workers on other machines may take a moment longer."""
    deadline = time.monotonic() + _OTHERS_S
    while not all(run.result(number).exists() for number in numbers):
        if time.monotonic() > deadline:
            return False
        time.sleep(_EVERY_S)
    return True


def _start(
    run: Run, old_folder: Path, number: int, addresses: Sequence[str], threads: int, log: int
) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")])}
    environment.pop("TF_CONFIG", None)
    if len(addresses) > 1:
        task = {"type": "worker", "index": number}
        environment["TF_CONFIG"] = json.dumps({"cluster": {"worker": list(addresses)}, "task": task})
    arguments = [str(run.folder), str(old_folder), str(number), str(len(addresses)), str(threads)]
    return subprocess.Popen(
        [sys.executable, "-m", "models.training.worker", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()


class _ProgressFile:
    """Reports the lines that a run adds to its progress file."""

    def __init__(self, path: Path, say: Callable[[TrainingProgress], None]) -> None:
        self._path, self._say = path, say
        self._at = path.stat().st_size if path.exists() else 0

    def report_new(self) -> None:
        if not self._path.exists():
            return
        with self._path.open("rb") as lines:
            lines.seek(self._at)
            while (line := lines.readline()).endswith(b"\n"):
                self._at += len(line)
                self._say(TrainingProgress(**json.loads(line)))


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]


def _last_lines(path: Path) -> str:
    if not path.exists():
        return "nothing"
    return "\n".join(path.read_text("utf-8", "replace").splitlines()[-_LAST_LINES:])
