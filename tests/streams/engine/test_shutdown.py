"""A worker ends on the spot while it starts, and in bounded time whatever it has in hand."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streams.kafka.topics import Topic
from streams.roles import Role
from streams.settings import Settings
from tests.streams.cli.conftest import command
from tests.streams.observability.test_health import TINY_WORKER, process, produce, settings, the_member, until

__all__ = ["settings"]

BUSY = """
import hashlib
from streams.engine.shutdown import end_on_signal
end_on_signal()
print("up", flush=True)
hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # as an import of TensorFlow: no Python code runs meanwhile
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_the_start_ends_a_worker_on_the_spot(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, text=True) as busy:
        assert busy.stdout is not None and busy.stdout.readline() == "up\n"
        busy.send_signal(number)
        assert busy.wait(60) == -number


@pytest.mark.skipif(sys.platform != "linux", reason="what a process has loaded is read from /proc")
def test_a_worker_that_loads_its_model_is_ended_by_the_signal_itself(settings: Settings) -> None:
    with process(settings, *command("worker", Role.EMBED)) as running:
        maps, deadline = Path(f"/proc/{running.pid}/maps"), time.monotonic() + 120
        while "tensorflow" not in maps.read_text():
            assert running.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        running.terminate()
        assert running.wait(60) == -signal.SIGTERM


@pytest.mark.parametrize("hand", ["wait", "block"])
def test_a_batch_that_does_not_end_is_left_to_the_next_worker(settings: Settings, hand: str) -> None:
    """Also one that holds the event loop up, as long as Python code runs."""
    patient = settings.model_copy(update={"watchdog_s": 600.0})
    with process(patient, sys.executable, str(TINY_WORKER), hand) as running:
        until(the_member(settings, Role.EMBED), "/readyz", 200)
        produce(settings, Topic.FRAMES, 2)
        time.sleep(1)
        running.terminate()
        assert running.wait(60) == 0


def test_a_worker_at_work_ends_well(settings: Settings) -> None:
    with process(settings, *command("worker", Role.SINK_REDIS)) as running:
        until(the_member(settings, Role.SINK_REDIS), "/readyz", 200)
        running.terminate()
        assert running.wait(60) == 0
