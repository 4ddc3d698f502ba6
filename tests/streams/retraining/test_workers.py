"""Two workers on a real Kafka: a tick is one run, whoever is killed or suspended. What they train is cheap."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from schemas.learning import RunState
from streams.retraining.run_log import runs
from streams.settings import Settings
from tests.streams.cli.conftest import environment
from tests.streams.retraining.conftest import LEASE_S, starts, trained, until

WORKER = Path(__file__).with_name("worker.py")


@contextmanager
def two_workers(settings: Settings) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    values = settings.model_dump(mode="json", exclude_unset=True)
    variables = environment(**{f"FACESTREAM_{name.upper()}": str(value) for name, value in values.items()})
    with ExitStack() as running:
        started: dict[str, subprocess.Popen[bytes]] = {}
        for name in ("a", "b"):
            log = running.enter_context((settings.home / f"{name}.log").open("w"))
            started[name] = subprocess.Popen([sys.executable, str(WORKER), name], env=variables, stdout=log, stderr=log)
            running.callback(end, started[name])
        yield started
        for process in started.values():
            process.terminate()


def end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def begun(settings: Settings) -> str:
    """The worker of the one run, once it trains."""
    until(lambda: [one for one in trained(settings) if one.step > 2], "a run has begun")
    (run,) = trained(settings)
    return run.worker


def ended(settings: Settings) -> None:
    (settings.home / "go").touch()
    published(settings)


def published(settings: Settings) -> None:
    until(lambda: trained(settings)[0].ended_at, "the run has ended")
    # Its record comes first: a worker that dies in between leaves it to the next to publish the version.
    left = settings.versions_dir / ".runs" / trained(settings)[0].run_id
    until(lambda: not left.exists(), "the version is published")


def test_a_tick_is_one_run_and_later_ticks_say_why_they_are_none(settings: Settings) -> None:
    with two_workers(settings) as workers:
        begun(settings)
        until(lambda: len(runs(settings)) >= 2, "a tick while the run is under way")
        ended(settings)
        until(lambda: any("hours since" in one.reason for one in runs(settings)), "a tick after the run")
        assert all(worker.poll() is None for worker in workers.values())
    (run,) = trained(settings)
    assert (run.state, run.attempt, run.refusals) == (RunState.REFUSED, 1, ["it is cheap"])
    assert run.reason == "it is cheap"
    assert {source.topic for source in run.until} == {"chips"}
    assert sum(source.offset for source in run.until) == 12
    assert len(starts(settings)) == 1
    assert (settings.versions_dir / str(run.version) / "made").exists()
    assert not (settings.versions_dir / ".runs" / run.run_id).exists()
    skipped = [one.reason for one in runs(settings) if one.state is RunState.SKIPPED]
    assert f"run {run.run_id} is under way" in skipped


def test_a_run_whose_worker_is_killed_is_taken_over_and_goes_on(settings: Settings) -> None:
    with two_workers(settings) as workers:
        first = begun(settings)
        before = starts(settings)
        os.kill(workers[first].pid, signal.SIGKILL)
        until(lambda: not psutil.pid_exists(before[0]["pid"]), "the process that trained ends with its worker", 10)
        until(lambda: trained(settings)[0].attempt == 2, "the run is taken over")
        ended(settings)
    (run,) = trained(settings)
    assert (run.state, run.worker != first) == (RunState.REFUSED, True)
    assert [one["run"] for one in starts(settings)] == [run.run_id] * 2
    assert starts(settings)[1]["first"] > 2, "it went on from the checkpoint"
    made = json.loads((settings.versions_dir / str(run.version) / "made").read_text())
    assert made["by"] == str(run.token)


def test_a_worker_that_is_suspended_loses_its_run_and_publishes_nothing(settings: Settings) -> None:
    with two_workers(settings) as workers:
        first = begun(settings)
        token = trained(settings)[0].token
        os.kill(workers[first].pid, signal.SIGSTOP)
        until(lambda: trained(settings)[0].attempt == 2, "the run is taken over")
        until(lambda: len(starts(settings)) == 2, "the successor trains, with nothing but a checkpoint")
        # Both processes make a version now: the one of the worker that does not know that it has lost the run, too.
        (settings.home / "go").touch()
        zombies = settings.versions_dir / ".runs" / trained(settings)[0].run_id / str(token)
        until(lambda: list(zombies.glob("v-*")) or trained(settings)[0].ended_at, "a version is made", 2 * LEASE_S)
        os.kill(workers[first].pid, signal.SIGCONT)
        published(settings)
        until(lambda: "went to another worker" in (settings.home / f"{first}.log").read_text(), "it hears of it")
    (run,) = trained(settings)
    assert (run.worker != first, run.token != token) == (True, True)
    made = json.loads((settings.versions_dir / str(run.version) / "made").read_text())
    assert made["by"] == str(run.token)


def test_a_worker_that_is_stopped_gives_its_run_back_at_once(settings: Settings) -> None:
    settings = settings.model_copy(update={"retrain_lease_s": 600.0})
    with two_workers(settings) as workers:
        until(lambda: starts(settings), "a run has begun")
        first = trained(settings)[0].worker
        workers[first].terminate()
        assert workers[first].wait(20) == 0
        (run,) = trained(settings)
        assert (run.state, run.attempt) == (RunState.WAITING, 0)
    assert not psutil.pid_exists(starts(settings)[0]["pid"])
