"""Starts ``facestream up`` in the background, and stops the stack of a home from another process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from infra.child_states import FILE as STATE_FILE
from infra.death import last_words, tail
from infra.leftovers import end_leftovers
from infra.services import FolderInUse
from streams.homes import targets
from streams.homes.processes import identity
from streams.homes.run import UP_FILE, Run, announced, current
from streams.settings import RUNNING_FILE

_LOOK_S = 0.1
_STOP_S = 120.0
"""Seconds that a stack may take to stop: workers finish their batches, then the services end."""
_LOCK_S = 5.0
"""Seconds for which a process may have the folder without having said that it runs a stack."""
_RECORDS = (UP_FILE, RUNNING_FILE, STATE_FILE)

Report = Callable[[str], None]


class DidNotStart(Exception):
    """``facestream up`` ended before it was ready."""


class DidNotStop(Exception):
    """The stack still runs."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """What has been stopped in a home."""

    run: Run | None
    """The run that has ended; None if none was there."""
    ended: tuple[int, ...] = ()
    """The ids of processes that an earlier run had left behind."""


def start(home: Path, options: Sequence[str], report: Report) -> Run:
    """Start ``facestream up`` in a session of its own, so that it outlives the terminal, and wait until it is ready.

    What it prints goes to a file in the home, and line by line to ``report``. Where this process is interrupted
    meanwhile, the stack is stopped.

    Returns:
        What runs then: the new run, or one that somebody else has started meanwhile.

    Raises:
        DidNotStart: it ended before; the message has the end of what it printed.
    """
    log = log_of(home)
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists():
        log.replace(log.with_name(f"{log.name}.old"))
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "streams.cli", "up", "--dir", str(home), *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        return _await_ready(home, process, log, report)
    except BaseException:
        process.terminate()
        process.wait()
        raise


def log_of(home: Path) -> Path:
    """The file for what ``facestream up`` prints in the background."""
    return home.absolute() / "logs" / "up.log"


def _await_ready(home: Path, process: subprocess.Popen[bytes], log: Path, report: Report) -> Run:
    with log.open("r", encoding="utf-8", errors="replace") as lines:
        while True:
            ended = process.poll() is not None
            run = current(home)
            ready = run is not None and announced(home) is not None
            if not ready:  # then it says itself what runs where
                while line := lines.readline().strip():
                    report(line)
            if run is not None and (ended or (ready and run.pid == process.pid)):
                return run
            if ended:
                said = last_words(tail(log)).removeprefix("facestream: ")
                raise DidNotStart(f"{said or f'it ended with {process.returncode}'} (its log is {log})")
            time.sleep(_LOOK_S)


def stop(home: Path, report: Report, timeout_s: float = _STOP_S) -> Stopped:
    """Stop the stack of a home, and remove what a run that was killed has left; do nothing where nothing is.

    Only the process that the home names is signalled, and only if it is still the same one.

    Raises:
        DidNotStop: the stack has not ended in time.
        FolderInUse: a process runs services in the folder that is no ``facestream up``.
    """
    home = home.absolute()
    run = current(home)
    if run is not None:
        report(f"stopping the stack in {home}: every worker finishes its batch")
        _terminate(run)
        deadline = time.monotonic() + timeout_s
        while run.lives():
            if time.monotonic() > deadline:
                raise DidNotStop(
                    f"the process {run.pid} of `facestream up` in {home} has not ended within {timeout_s:g} s; its "
                    f"logs are in {home / 'logs'}"
                )
            time.sleep(_LOOK_S)
    if not (home / "lock").exists():
        return Stopped(run)
    try:
        with FileLock(home / "lock", timeout=_LOCK_S):
            ended = end_leftovers(home / "children.json")
            for name in _RECORDS:
                (home / name).unlink(missing_ok=True)
            targets.clear(home)
    except Timeout:
        if run is not None and current(home) is not None:  # somebody has started it again meanwhile
            return Stopped(run)
        owner = (home / "pid").read_text("utf-8").strip() if (home / "pid").exists() else "unknown"
        raise FolderInUse(f"{home} is in use by the process {owner}, which is no `facestream up`: stop that") from None
    return Stopped(run, tuple(ended))


def _terminate(run: Run) -> None:
    """Ask a process to end as Ctrl-C does, unless it is gone and its id belongs to another one."""
    with suppress(ProcessLookupError):
        if hasattr(os, "pidfd_open"):
            handle = os.pidfd_open(run.pid)
            try:
                if identity(run.pid) == run.identity:
                    signal.pidfd_send_signal(handle, signal.SIGTERM)
            finally:
                os.close(handle)
        elif run.lives():
            os.kill(run.pid, signal.SIGTERM)
