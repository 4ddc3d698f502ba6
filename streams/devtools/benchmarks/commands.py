"""Times the commands of the README on an idle stack, on a terminal: until the first word, and until the end."""

from __future__ import annotations

import os
import pty
import resource
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from infra.photos import sample_photos
from streams.devtools.benchmarks.rows import Figures, attempt
from streams.devtools.local_stack import Stack

COMMANDS = (
    "--help",
    "play --help",
    "enrol --user anna --subject obama photos/obama.jpg photos/obama2.jpg",
    "play --user anna --camera front-door --fps 0 photos",
    "play --user anna --camera front-door --mode verify --subject obama photos/biden.jpg",
    "watch --user anna --timeout 0",
    "settings",
    "shards",
    "topics list",
    "doctor --quick",
    "doctor",
    "bigquery query sightings_by_day",
    "dead-letters list",
    "replay frames --from -2h --user anna --dry-run",
    "replay list",
    "models list",
    "models show dlib-resnet-v1",
    "runs list",
    "chips list",
    "erase --user anna --subject obama --dry-run",
)
"""What follows ``facestream``, in the order in which a newcomer would type it."""
_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class CommandTime:
    """How a command went.

    Attributes:
        first_word_s: seconds until it wrote something.
        end_s: seconds until it ended.
        cpu_s: processor seconds of the command and its children.
        written: what it wrote to the terminal.
        code: its exit code.
    """

    first_word_s: float
    end_s: float
    cpu_s: float
    written: str
    code: int


def measure(folder: Path, rounds: int, report: Callable[[str], None]) -> Iterator[Figures]:
    """Start a stack, then run each command so many times; the medians count.

    The baseline is a Python that prints one line. A command that fails is not measured.

    Args:
        folder: an empty folder.
        rounds: how often each command runs.
        report: called with each step of the start.

    Yields:
        ``python`` with the baseline, then one row for each command.
    """
    (folder / "photos").symlink_to(sample_photos())
    with Stack(folder / "home", report) as stack:
        stack.add_workers()
        environment = os.environ | stack.environment() | {"TERM": "xterm-256color", "COLUMNS": "100"}
        timed = partial(on_terminal, cwd=folder, environment=environment)
        baseline = [timed([sys.executable, "-c", "print('ready')"]) for _ in range(rounds)]
        reference_s = median(one.end_s for one in baseline)
        yield {"python": {"end_s": round(reference_s, 3)}}
        for name in COMMANDS:
            called = [sys.executable, "-m", "streams.cli", *name.split()]

            def row(called: Sequence[str] = called, name: str = name) -> Figures:
                runs = [timed(called) for _ in range(rounds)]
                if failed := [run for run in runs if run.code]:
                    raise RuntimeError(f"exit code {failed[0].code}: {failed[0].written[-300:]}")
                end_s = median(run.end_s for run in runs)
                return {
                    "command": f"facestream {name}",
                    "first_word_s": round(median(run.first_word_s for run in runs), 3),
                    "end_s": round(end_s, 3),
                    "cpu_s": round(median(run.cpu_s for run in runs), 3),
                    "ratio": round(end_s / reference_s, 1),
                }

            yield attempt(f"facestream {name}", row)


def on_terminal(called: Sequence[str], *, cwd: Path, environment: Mapping[str, str]) -> CommandTime:
    """Run a command whose output is a terminal.

    Raises:
        TimeoutError: it did not end within two minutes; it is killed.
    """
    ours, theirs = pty.openpty()
    written, first_word_s = b"", None
    before, began = _cpu_of_children(), time.monotonic()
    process = subprocess.Popen(called, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, cwd=cwd, env=environment)
    os.close(theirs)
    try:
        while chunk := _read(ours, began + _TIMEOUT_S):
            first_word_s = first_word_s or time.monotonic() - began
            written += chunk
        process.wait(max(1.0, began + _TIMEOUT_S - time.monotonic()))
    except (TimeoutError, subprocess.TimeoutExpired) as error:
        raise TimeoutError(f"no end after {_TIMEOUT_S:g} s") from error
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    end_s = time.monotonic() - began
    return CommandTime(
        end_s if first_word_s is None else first_word_s,
        end_s,
        _cpu_of_children() - before,
        written.decode(errors="replace"),
        process.returncode,
    )


def _read(terminal: int, deadline: float) -> bytes:
    """The next bytes of a terminal; none at its end, which Linux reports as an error."""
    readable, _, _ = select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))
    if not readable:
        raise TimeoutError
    try:
        return os.read(terminal, 65_536)
    except OSError:
        return b""


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
