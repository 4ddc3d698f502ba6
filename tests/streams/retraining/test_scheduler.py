"""One worker's part, step by step, with a real Kafka."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta

import pytest

from schemas.clock import utc_now
from schemas.learning import RunState
from streams.retraining.run_log import RunLog, runs
from streams.retraining.scheduler import ATTEMPTS, Retrainer
from streams.settings import Settings
from tests.streams.retraining.conftest import enrol, starts, trained, until
from tests.streams.retraining.worker import COMMAND


@pytest.fixture
def workers(settings: Settings) -> Iterator[tuple[Retrainer, Retrainer]]:
    """Two workers that do something only when they are told to."""
    with ExitStack() as running:
        a, b = (running.enter_context(Retrainer(settings, name, command=COMMAND)) for name in "ab")
        yield a, b


def finish(settings: Settings, worker: Retrainer) -> None:
    (settings.home / "go").touch()

    def ended() -> bool:
        worker.beat()
        return trained(settings)[-1].ended_at is not None

    until(ended, "the run has ended")
    (settings.home / "go").unlink()


def test_the_next_run_wants_new_people(settings: Settings, workers: tuple[Retrainer, Retrainer]) -> None:
    now, (a, b) = utc_now(), workers
    a.tick(now)
    b.tick(now)
    assert [one.worker for one in runs(settings)] == ["a"]
    finish(settings, a)
    a.tick(now + timedelta(hours=30))
    assert "0 new people, fewer than 5" in runs(settings)[-1].reason
    enrol(settings, 5)
    b.tick(now + timedelta(hours=60))
    assert [(one.worker, one.reason) for one in trained(settings)][-1] == ("b", "5 new people")
    assert trained(settings)[-1].faces == 17


def test_an_alarm_is_a_reason(settings: Settings, workers: tuple[Retrainer, Retrainer]) -> None:
    now = utc_now()
    workers[0].tick(now)
    finish(settings, workers[0])
    with Retrainer(settings, "c", alarms=[lambda: None, lambda: "drift at the door"], command=COMMAND) as alarmed:
        alarmed.tick(now + timedelta(hours=30))
        assert "0 new people" in runs(settings)[-1].reason, "the same version would be made again"
        enrol(settings, 1)
        alarmed.tick(now + timedelta(hours=60))
    assert trained(settings)[-1].reason == "drift at the door"


def test_a_run_that_every_worker_dies_of_fails(settings: Settings, workers: tuple[Retrainer, Retrainer]) -> None:
    impatient = settings.model_copy(update={"retrain_lease_s": 1.0})
    with ExitStack() as running:
        for number in range(ATTEMPTS):
            worker = running.enter_context(Retrainer(impatient, f"w{number}", command=["false"]))
            if number == 0:
                worker.tick(utc_now())
                continue
            until(lambda: worker.beat() or trained(settings)[-1].attempt == number + 1, "taken over")  # noqa: B023
        last = running.enter_context(Retrainer(impatient, "last", command=COMMAND))
        until(lambda: last.beat() or trained(settings)[-1].ended_at, "it is given up")
    (run,) = trained(settings)
    assert run.state is RunState.FAILED
    assert f"{ATTEMPTS} workers have died of it" in run.reason
    assert not starts(settings)


def test_a_training_that_fails_says_why_and_leaves_no_faces(settings: Settings) -> None:
    """As those of a real training, in a folder beside its files: nothing would ever remove them."""
    fails = 'mkdir -p "$0/.v-1/run"; echo > "$0/.v-1/run/chips.npy"; echo no luck today >&2; exit 3'
    with Retrainer(settings, "a", command=["sh", "-c", fails]) as worker:
        worker.tick(utc_now())
        until(lambda: worker.beat() or trained(settings)[-1].ended_at, "it has ended")
    (run,) = trained(settings)
    assert (run.state, run.version) == (RunState.FAILED, None)
    assert "exit code 3: no luck today" in run.reason
    assert [one.name for one in (settings.versions_dir / ".runs").glob("*/*/*")] == ["training.log"]


def test_what_a_worker_says_of_a_run_that_it_has_lost_does_not_count_and_does_not_last(
    settings: Settings, workers: tuple[Retrainer, Retrainer]
) -> None:
    a, b = workers
    a.tick(utc_now())
    (lost,) = trained(settings)
    (settings.home / "go").touch()
    until(lambda: list((settings.versions_dir / ".runs").glob("*/*/v-*")), "a has made a version, and been suspended")
    until(lambda: b.beat() or trained(settings)[-1].ended_at, "b has taken the run over, and ended it")
    assert trained(settings)[0].worker == "b"
    version = settings.versions_dir / str(trained(settings)[0].version)
    made = (version / "made").read_text()
    with RunLog(settings) as ledger:
        late = replace(lost, state=RunState.FINISHED, version="another", ended_at=utc_now())
        assert ledger.append(late) is None
        (standing,) = [one for one in ledger if one.run.run_id == lost.run_id]
        assert standing.superseded, "compaction would keep what does not count"
        b.beat()
        ledger.refresh()
        (standing,) = [one for one in ledger if one.run.run_id == lost.run_id]
        assert not standing.superseded
    a.beat()
    assert trained(settings)[0].worker == "b"
    assert {one.name for one in settings.versions_dir.glob("[!.]*")} == {version.name}
    assert (version / "made").read_text() == made


def test_a_version_whose_worker_died_before_it_was_in_its_place_is_put_there(settings: Settings) -> None:
    with Retrainer(settings, "a", command=COMMAND) as worker:
        worker.tick(utc_now())
        finish(settings, worker)
    (run,) = trained(settings)
    version = settings.versions_dir / str(run.version)
    left = settings.versions_dir / ".runs" / run.run_id / str(run.token) / version.name
    left.parent.mkdir(parents=True)
    version.rename(left)
    with Retrainer(settings, "b", command=COMMAND) as worker:
        worker.beat()
    assert (version / "made").exists()
    assert not left.exists()
