"""What a supervisor does while the disk has too little room, with a reading of the disk that the test makes."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.death import how_it_ended
from infra.leftovers import Record
from infra.room import Room, free_bytes
from infra.supervisor import Backoff, Stopped, Supervisor

SERVE = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
DEAF = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"


class Disk:
    """Says how much is free."""

    def __init__(self) -> None:
        self.free = 1_000

    def measure(self, folder: Path) -> int:
        return self.free


def until(condition: Callable[[], object], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def reports() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, disk: Disk, reports: list[str]) -> Iterator[Supervisor]:
    room = Room(tmp_path, start_bytes=500, stop_bytes=300, kill_bytes=50, measure=disk.measure)
    with Supervisor(reports.append, tmp_path / "children.json", room) as running:
        yield running


def _start(supervisor: Supervisor, name: str, log: Path, code: list[str] = SERVE, *, fills: bool = False) -> int:
    return supervisor.start(
        name, code, log=log, ready=lambda: "up" in log.read_text(), restart=Backoff(0.01, tries=1), fills_disk=fills
    )


def test_nothing_starts_without_room_and_it_goes_on_by_itself(
    supervisor: Supervisor, disk: Disk, reports: list[str], tmp_path: Path
) -> None:
    disk.free = 499
    starting = [threading.Thread(target=_start, args=(supervisor, name, tmp_path / name)) for name in ("one", "two")]
    for thread in starting:
        thread.start()
    until(lambda: reports)
    assert not supervisor.running()
    assert len(reports) == 1, "said once"
    assert f"0 MB are free on the disk of {tmp_path}, and 0 MB are needed" in reports[0]
    disk.free = 500
    for thread in starting:
        thread.join(60)
    assert set(supervisor.running()) == {"one", "two"}
    assert len(reports) == 2 and reports[1].endswith("what waited starts")


def test_who_waits_for_room_can_be_stopped(supervisor: Supervisor, disk: Disk, tmp_path: Path) -> None:
    disk.free = 0
    threading.Timer(0.3, supervisor.close).start()
    with pytest.raises(Stopped):
        _start(supervisor, "one", tmp_path / "log")


@pytest.mark.parametrize("code", [SERVE, [sys.executable, "-c", DEAF]], ids=["at once", "deaf"])
def test_what_fills_the_disk_is_stopped_before_it_is_full(
    supervisor: Supervisor, disk: Disk, reports: list[str], tmp_path: Path, code: list[str]
) -> None:
    """In order at first, killed when that takes too long; it is no death, and others go on."""
    before = _start(supervisor, "kafka", tmp_path / "kafka.log", code, fills=True)
    beside = _start(supervisor, "redis", tmp_path / "redis.log")
    disk.free = 299
    until(lambda: reports)
    if code is not SERVE:
        assert supervisor.running()["kafka"] == before
        disk.free = 49
    until(lambda: "kafka" not in supervisor.running())
    disk.free = 499  # Not yet: it would be stopped again at once.
    time.sleep(0.5)
    assert supervisor.running() == {"redis": beside}
    disk.free = 500
    until(lambda: "kafka" in supervisor.running())
    assert supervisor.wait(0) is None
    assert len(reports) == 2 and "kafka stopped, so that nothing more is written" in reports[0]


def test_who_dies_on_a_full_disk_waits_and_is_not_given_up(
    supervisor: Supervisor, disk: Disk, reports: list[str], tmp_path: Path
) -> None:
    fail = tmp_path / "full"
    wait = f"while not pathlib.Path({str(fail)!r}).exists(): time.sleep(0.01)"
    code = f"import pathlib, time\nprint('up', flush=True)\n{wait}"
    _start(supervisor, "worker", tmp_path / "log", [sys.executable, "-c", code])
    for _ in range(3):  # With one try a second death in a row would be the last.
        reports.clear()
        disk.free = 100
        fail.touch()
        until(lambda: reports)  # It waits: room that is there before the death is looked into makes it a death.
        assert not supervisor.running()
        fail.unlink()
        disk.free = 1_000
        until(supervisor.running)
        assert len(reports) == 2
    assert supervisor.wait(0) is None


def test_a_child_that_waits_for_room_can_be_stopped(supervisor: Supervisor, disk: Disk, tmp_path: Path) -> None:
    _start(supervisor, "kafka", tmp_path / "log", fills=True)
    disk.free = 100
    until(lambda: not supervisor.running())
    supervisor.stop("kafka")
    disk.free = 1_000
    assert not supervisor.running()
    supervisor.restart("kafka")
    assert supervisor.running()


def test_free_room_is_read_where_the_folder_will_be(tmp_path: Path) -> None:
    assert 0 < free_bytes(tmp_path / "not" / "yet") == pytest.approx(free_bytes(tmp_path), rel=0.5)


def test_a_record_that_cannot_be_written_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    record = Record(tmp_path / "no folder" / "children.json")
    for pid in range(3):
        record.remove(pid)
    assert [one.getMessage() for one in caplog.records] == [caplog.records[0].getMessage()]


def test_a_death_is_told_without_traces(tmp_path: Path) -> None:
    log = tmp_path / "kafka.log"
    trace = "".join(f"\tat kafka.Some.method{number}(Some.scala)\n" for number in range(60))
    log.write_text(f"2026 [main] ERROR kafka.Kafka - fatal\njava.io.IOException: No space left on device\n{trace}")
    assert how_it_ended(log) == f": java.io.IOException: No space left on device (its log is {log})"
    log.write_text("")
    assert "says nothing" in how_it_ended(log)
