"""A stack is stopped from another process; nothing else is, and what a killed run has left is removed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from infra.leftovers import Record
from infra.services import FolderInUse
from streams.devtools import background
from streams.devtools.background import DidNotStart, DidNotStop, start, stop
from streams.homes import targets
from streams.homes.processes import identity
from streams.homes.run import UP_FILE, Run
from streams.settings import RUNNING_FILE

WAITS = "import signal, sys, time; signal.signal(15, {handler}); print('up', flush=True); time.sleep(600)"


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    """A process in a group of its own that ends at SIGTERM."""
    yield from _process("lambda *_: sys.exit()")


@pytest.fixture
def deaf() -> Iterator[subprocess.Popen[str]]:
    """One that does not."""
    yield from _process("signal.SIG_IGN")


def _process(handler: str) -> Iterator[subprocess.Popen[str]]:
    code = WAITS.format(handler=handler)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as child:
        assert child.stdout and child.stdout.readline() == "up\n"
        yield child
        child.kill()


def home(folder: Path, run: Run) -> Path:
    """A folder as a run leaves it."""
    folder.mkdir(exist_ok=True)
    for name, text in (("lock", ""), (UP_FILE, run.text()), (RUNNING_FILE, '{"settings": {}}')):
        (folder / name).write_text(text)
    targets.write(folder, {"embed-0": "127.0.0.1:1"})
    return folder


def run_of(process: subprocess.Popen[str]) -> Run:
    return Run(process.pid, identity(process.pid) or "", 0, True, "model")


def test_nothing_runs(tmp_path: Path) -> None:
    assert stop(tmp_path / "none", print).run is None
    assert not (tmp_path / "none").exists()
    assert stop(tmp_path, print) == stop(tmp_path, print)


def test_the_process_that_the_home_names_is_stopped(tmp_path: Path, process: subprocess.Popen[str]) -> None:
    threading.Thread(target=process.wait, daemon=True).start()  # it is this process's child, and a zombie else
    run = run_of(process)
    assert stop(home(tmp_path / "home", run), print).run == run
    assert process.wait() == 0
    assert {one.name for one in (tmp_path / "home").iterdir()} == {"lock", targets.TARGETS_FILE}
    assert json.loads((tmp_path / "home" / targets.TARGETS_FILE).read_text()) == []


def test_a_process_that_does_not_end_is_not_killed(tmp_path: Path, deaf: subprocess.Popen[str]) -> None:
    folder = home(tmp_path, run_of(deaf))
    with pytest.raises(DidNotStop, match=f"the process {deaf.pid} .* has not ended"):
        stop(folder, print, timeout_s=0)
    assert deaf.poll() is None and (folder / UP_FILE).exists()


def test_a_later_process_of_the_same_id_is_left_alone(tmp_path: Path, process: subprocess.Popen[str]) -> None:
    folder = home(tmp_path, Run(process.pid, "an earlier one", 0, True, "model"))
    assert stop(folder, print) == background.Stopped(None)
    assert process.poll() is None
    assert not (folder / UP_FILE).exists() and not (folder / RUNNING_FILE).exists()


def test_what_a_killed_run_has_left_is_ended(tmp_path: Path, deaf: subprocess.Popen[str]) -> None:
    folder = home(tmp_path, Run(os.getpid(), "an earlier one", 0, True, "model"))
    Record(folder / "children.json").add(deaf.pid)
    assert stop(folder, print).ended == (deaf.pid,)
    assert identity(deaf.pid) is None


def test_a_folder_that_something_else_uses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_LOCK_S", 0.0)
    (tmp_path / "pid").write_text("4711\n")
    with FileLock(tmp_path / "lock"), pytest.raises(FolderInUse, match="process 4711, which is no `facestream up`"):
        stop(tmp_path, print)


def test_a_start_that_fails_says_why(tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(DidNotStart, match=r"nonsense.*its log is .*up\.log"):
        start(tmp_path, ["--embedder", "nonsense"], said.append)
    assert "nonsense" in "".join(said)
