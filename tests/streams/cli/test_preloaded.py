"""Workers of stacks that tests start as forks end, and are ended, as programs are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from infra.supervisor import Backoff, Supervisor
from tests.streams.cli.conftest import environment
from tests.waiting import wait_until

NOWHERE = environment(FACESTREAM_KAFKA="127.0.0.1:1")


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    with Supervisor(print) as running:
        yield running


def start(supervisor: Supervisor, folder: Path) -> int:
    """Start a worker, which waits for Kafka for a while."""
    argv = [sys.executable, "-m", "streams.cli", "worker", "search"]
    return supervisor.start("worker", argv, log=folder / "log", env=NOWHERE, cwd=folder, restart=Backoff(first_s=0.1))


def test_it_has_its_own_session_folder_and_log_and_is_restarted(supervisor: Supervisor, tmp_path: Path) -> None:
    first = start(supervisor, tmp_path)
    assert os.getsid(first) == os.getpgid(first) == first
    assert psutil.Process(first).cwd() == str(tmp_path)
    os.killpg(first, signal.SIGKILL)
    death = supervisor.wait(10)
    assert death is not None and death.exit_code == -signal.SIGKILL
    wait_until(lambda: supervisor.running().get("worker") not in (None, first))
    supervisor.stop("worker")
    assert supervisor.running() == {}


def test_one_that_fails_says_why_in_its_log(supervisor: Supervisor, tmp_path: Path) -> None:
    start(supervisor, tmp_path)
    death = supervisor.wait(60)
    assert death is not None and death.exit_code == 1
    assert "no Kafka answers at 127.0.0.1:1" in death.log_tail


STARTS = """
import sys, time
from pathlib import Path
from infra.supervisor import Supervisor
from tests.streams.cli import preloaded
from tests.streams.cli.test_preloaded import start
with preloaded.for_supervisors(), Supervisor() as supervisor:
    print(start(supervisor, Path(sys.argv[1])), flush=True)
    time.sleep(60)
"""


def test_it_dies_with_the_process_of_the_tests(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STARTS, str(tmp_path)]
    with subprocess.Popen(command, env=NOWHERE, stdout=subprocess.PIPE, text=True) as tests:
        assert tests.stdout is not None
        worker = psutil.Process(int(tests.stdout.readline()))
        os.kill(worker.pid, signal.SIGSTOP)  # so that it does not end by itself
        tests.kill()
    wait_until(lambda: not worker.is_running())
