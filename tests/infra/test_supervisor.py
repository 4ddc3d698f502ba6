from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

import infra.priority
import infra.supervisor
from infra.leftovers import Record, end_leftovers
from infra.supervisor import Backoff, ChildFailed, Stopped, Supervisor

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]


def until(condition: Callable[[], object], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(code)]


@pytest.fixture
def reports() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, reports: list[str]) -> Iterator[Supervisor]:
    with Supervisor(reports.append, tmp_path / "children.json") as running:
        yield running


def test_a_death_is_reported_with_the_end_of_the_log(
    supervisor: Supervisor, tmp_path: Path, reports: list[str]
) -> None:
    go = tmp_path / "go"
    code = f"""
        import pathlib, sys, time
        for number in range(100):
            print("line", number, flush=True)
        while not pathlib.Path({str(go)!r}).exists():
            time.sleep(0.01)
        sys.exit("out of luck")
    """
    supervisor.start("worker", python(code), log=tmp_path / "worker.log")
    assert supervisor.wait(0) is None
    go.touch()
    death = supervisor.wait(20)
    assert death is not None
    assert (death.name, death.exit_code, death.restart_in_s) == ("worker", 1, None)
    assert death.log_tail.endswith("line 99\nout of luck")
    assert "line 50" not in death.log_tail
    assert reports == [str(death)]
    assert not supervisor.running()


@pytest.mark.parametrize("restart", [None, Backoff()], ids=["for good", "with back-off"])
def test_a_child_that_dies_while_it_starts_fails_the_start(
    supervisor: Supervisor, tmp_path: Path, restart: Backoff | None
) -> None:
    argv = python("raise SystemExit('port taken')")
    with pytest.raises(ChildFailed, match=r"ended with 1 while it started(.|\n)*port taken"):
        supervisor.start("server", argv, log=tmp_path / "log", ready=lambda: False, restart=restart)
    assert supervisor.wait(0.2) is None


def test_a_program_that_is_not_there_fails_the_start(supervisor: Supervisor, tmp_path: Path) -> None:
    with pytest.raises(ChildFailed, match="cannot run /no/such/program: No such file"):
        supervisor.start("server", ["/no/such/program"], log=tmp_path / "log", ready=lambda: False)


def test_a_child_that_is_not_ready_in_time_is_killed(supervisor: Supervisor, tmp_path: Path) -> None:
    def ready() -> bool:
        raise ConnectionError("nobody answers")

    with pytest.raises(ChildFailed, match=r"not ready in 0\.5 s \(nobody answers\)"):
        supervisor.start("server", SLEEP, log=tmp_path / "log", ready=ready, timeout_s=0.5)
    assert not supervisor.running()


@pytest.mark.skipif(sys.platform != "linux", reason="processes cannot be held to one processor")
def test_a_background_child_gives_way_to_the_others(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(infra.supervisor, "give_way", infra.priority.give_way)
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\nwhile True: pass"
    used_s = {}
    for name in ("first", "later"):
        supervisor.start(name, python(code), log=tmp_path / f"{name}.log", background=name == "later")
    pids = supervisor.running()
    until(lambda: psutil.Process(pids["first"]).cpu_times().user > 1)
    for name, pid in pids.items():
        used_s[name] = psutil.Process(pid).cpu_times().user
    assert used_s["later"] < used_s["first"] / 3


def test_environment_and_folder_reach_the_child(supervisor: Supervisor, tmp_path: Path) -> None:
    log = tmp_path / "log"
    argv = python("import os, time; print(os.environ['COLOUR'], os.getcwd(), flush=True); time.sleep(600)")
    supervisor.start("worker", argv, log=log, env={"COLOUR": "blue"}, cwd=tmp_path, ready=lambda: bool(log.read_text()))
    assert log.read_text().split() == ["blue", str(tmp_path)]


def test_a_child_that_ignores_sigterm_is_killed_after_its_grace_time(
    supervisor: Supervisor, tmp_path: Path, reports: list[str]
) -> None:
    log = tmp_path / "log"
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    pid = supervisor.start("worker", python(code), log=log, ready=lambda: "up" in log.read_text(), grace_s=0.3)
    supervisor.stop("worker")
    assert not psutil.pid_exists(pid)
    assert reports == ["worker did not stop in 0.3 s: killed"]


def test_higher_stages_stop_first_and_those_of_one_stage_together(supervisor: Supervisor, tmp_path: Path) -> None:
    asked, stopped = tmp_path / "asked", tmp_path / "stopped"
    code = f"""
        import signal, sys, time
        def stop(number, frame):
            with open({str(asked)!r}, "a") as file:
                file.write(sys.argv[1] + " ")
            while open({str(asked)!r}).read().count("1") < 4:
                time.sleep(0.01)
            with open({str(stopped)!r}, "a") as file:
                file.write(sys.argv[1] + " ")
            sys.exit()
        signal.signal(signal.SIGTERM, stop)
        print("up", flush=True)
        time.sleep(600)
    """
    for name, stage in [("first", 1), ("service", 0), ("second", 1), ("third", 1), ("fourth", 1)]:
        log = tmp_path / f"{name}.log"
        argv = [*python(code), str(stage)]
        supervisor.start(name, argv, log=log, stage=stage, grace_s=60, ready=functools.partial(_says_up, log))
    supervisor.close()
    assert stopped.read_text().split() == ["1", "1", "1", "1", "0"]


def test_a_child_with_back_off_comes_back_and_is_reported(
    supervisor: Supervisor, tmp_path: Path, reports: list[str]
) -> None:
    pid = supervisor.start("worker", SLEEP, log=tmp_path / "log", restart=Backoff(first_s=0.05))
    for _ in range(2):
        os.kill(pid, signal.SIGKILL)
        death = supervisor.wait(20)
        assert death is not None and death.exit_code == -signal.SIGKILL
        pid = _next_pid(supervisor, pid)
    assert [report.split(";")[1] for report in reports] == [
        " it starts again in 0.05 s",
        " it starts again in 0.1 s",
    ]
    supervisor.stop("worker")
    assert not supervisor.running()


def test_back_off_doubles_up_to_its_most() -> None:
    backoff = Backoff(first_s=0.5, most_s=3)
    assert [backoff.wait_s(deaths) for deaths in (1, 2, 3, 4, 1_000)] == [0.5, 1, 2, 3, 3]


def test_a_full_disk_hides_no_death_and_holds_up_no_stop(supervisor: Supervisor, tmp_path: Path) -> None:
    pids = {name: supervisor.start(name, SLEEP, log=tmp_path / f"{name}.log") for name in ("dies", "stops")}
    (tmp_path / "children.json.partial").unlink(missing_ok=True)
    (tmp_path / "children.json.partial").symlink_to("/dev/full")
    os.kill(pids["dies"], signal.SIGKILL)
    death = supervisor.wait(20)
    assert death is not None and death.name == "dies"
    stopping = threading.Thread(target=supervisor.stop, args=("stops",), daemon=True)
    stopping.start()
    stopping.join(20)
    assert not stopping.is_alive() and not supervisor.running()


def test_a_child_that_cannot_be_started_again_is_reported(supervisor: Supervisor, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    pid = supervisor.start("worker", SLEEP, log=logs / "log", restart=Backoff(first_s=0.5))
    os.kill(pid, signal.SIGKILL)
    first = supervisor.wait(20)
    logs.rename(tmp_path / "away")
    last = supervisor.wait(20)
    assert first is not None and first.restart_in_s == 0.5
    assert last is not None and last.restart_in_s is None
    assert "is not started again: [Errno 2] No such file" in str(last)
    supervisor.stop("worker")


def test_a_child_that_dies_again_and_again_is_given_up(supervisor: Supervisor, tmp_path: Path) -> None:
    argv = python("import time; time.sleep(0.2); raise SystemExit('out of luck')")
    supervisor.start("service", argv, log=tmp_path / "log", restart=Backoff(first_s=0.01, tries=2))
    deaths = [supervisor.wait(20) for _ in range(3)]
    assert [death and death.restart_in_s for death in deaths] == [0.01, 0.02, None]
    assert str(deaths[-1]) == (
        "service died (exit code 1); it is not started again: 3 deaths in a row: out of luck "
        f"(its log is {tmp_path / 'log'})"
    )
    assert not supervisor.running()


def test_stop_ends_the_wait_for_a_restart(supervisor: Supervisor, tmp_path: Path) -> None:
    pid = supervisor.start("worker", SLEEP, log=tmp_path / "log", restart=Backoff(first_s=60, most_s=60))
    os.kill(pid, signal.SIGKILL)
    assert supervisor.wait(20) is not None
    supervisor.stop("worker")
    assert not supervisor.running()


def test_killed_children_are_not_reported_and_start_again_by_name(
    supervisor: Supervisor, tmp_path: Path, reports: list[str]
) -> None:
    pid = supervisor.start("worker", SLEEP, log=tmp_path / "log", restart=Backoff(first_s=0.01))
    supervisor.kill("worker")
    assert not psutil.pid_exists(pid)
    again = supervisor.restart("worker")
    assert again != pid and supervisor.running() == {"worker": again}
    assert not reports


def test_what_a_child_has_started_ends_with_it(supervisor: Supervisor, tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = f"import subprocess, time; print(subprocess.Popen({SLEEP!r}).pid, flush=True); time.sleep(600)"
    supervisor.start("worker", python(code), log=log, ready=lambda: "up" in log.read_text())
    grandchild = int(log.read_text().split()[0])
    supervisor.kill("worker")
    until(lambda: not _runs(grandchild))


def test_nothing_starts_after_close(supervisor: Supervisor, tmp_path: Path) -> None:
    starting = threading.Event()
    errors: list[BaseException] = []

    def ready() -> bool:
        starting.set()
        return False

    def start() -> None:
        try:
            supervisor.start("slow", SLEEP, log=tmp_path / "log", ready=ready)
        except Stopped as error:
            errors.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    assert starting.wait(20)
    supervisor.close()
    thread.join(20)
    assert len(errors) == 1
    with pytest.raises(Stopped):
        supervisor.start("late", SLEEP, log=tmp_path / "log")


@pytest.mark.parametrize("in_thread", [False, True], ids=["main thread", "short thread"])
def test_children_end_with_a_killed_parent_but_not_with_the_thread_that_asked(tmp_path: Path, in_thread: bool) -> None:
    code = f"""
        import sys, threading, time
        from pathlib import Path
        from infra.supervisor import Supervisor
        log = Path({str(tmp_path / "log")!r})
        supervisor = Supervisor()
        def start():
            print(supervisor.start("sleep", {SLEEP!r}, log=log, ready=lambda: "up" in log.read_text()), flush=True)
        if {in_thread}:
            thread = threading.Thread(target=start); thread.start(); thread.join()
        else:
            start()
        time.sleep(0.3)
        print(len(supervisor.running()), flush=True)
        time.sleep(600)
    """
    with subprocess.Popen(python(code), stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        try:
            assert parent.stdout.readline() == "1\n"
            assert _runs(pid)
        finally:
            parent.kill()
    until(lambda: not _runs(pid))


@pytest.mark.parametrize("end", ["child stopped", "child killed", "parent killed"])
def test_where_the_kernel_does_not_help_the_launcher_watches_the_parent(tmp_path: Path, end: str) -> None:
    launcher = f"import os, sys; from infra.child import watch; sys.exit(watch(os.getppid(), {SLEEP!r}, 0.02))"
    code = f"""
        import subprocess, sys
        launched = subprocess.Popen([sys.executable, "-c", {launcher!r}], start_new_session=True)
        print(launched.pid, flush=True)
        print("ended", launched.wait(), flush=True)
    """
    with subprocess.Popen(python(code), stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        lines = sorted(parent.stdout.readline().strip() for _ in range(2))
        launched = psutil.Process(int(lines[0]))
        child = launched.children()[0]
        if end == "child stopped":
            launched.terminate()
            assert parent.stdout.readline() == f"ended {128 + signal.SIGTERM}\n"
        elif end == "child killed":
            child.kill()
            assert parent.stdout.readline() == f"ended {128 + signal.SIGKILL}\n"
        else:
            parent.kill()
    until(lambda: not _runs(launched.pid) and not _runs(child.pid))


def test_a_record_ends_the_process_that_it_names_and_no_other(tmp_path: Path) -> None:
    recorded, other = (subprocess.Popen(SLEEP, start_new_session=True) for _ in range(2))
    try:
        record = Record(tmp_path / "children.json")
        record.add(recorded.pid)
        record.add(other.pid)
        record.remove(other.pid)
        # The same process id with another start time is another process.
        started = json.loads((tmp_path / "children.json").read_text())
        started[str(other.pid)] = psutil.Process(other.pid).create_time() - 100
        (tmp_path / "children.json").write_text(json.dumps(started))
        assert end_leftovers(tmp_path / "children.json") == [recorded.pid]
        assert not _runs(recorded.pid)
        assert other.poll() is None
        assert end_leftovers(tmp_path / "children.json") == []
    finally:
        for process in (recorded, other):
            process.kill()
            process.wait()


def _next_pid(supervisor: Supervisor, old: int) -> int:
    until(lambda: supervisor.running().get("worker", old) != old)
    return supervisor.running()["worker"]


def _says_up(log: Path) -> bool:
    return "up" in log.read_text()


def _runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
