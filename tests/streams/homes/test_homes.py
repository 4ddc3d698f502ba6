"""What home folders say of the stacks in them, and the ports that they keep."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra.ports import ServicePorts, is_free
from infra.services import LocalServices
from streams.devtools.home_ports import choose
from streams.homes import ports, registry
from streams.homes.processes import identity
from streams.homes.run import UP_FILE, Run, announced, current, noted
from streams.settings import RUNNING_FILE


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def home(folder: Path, run: Run | None = None) -> Path:
    folder.mkdir()
    (folder / "pid").write_text("1\n")
    if run is not None:
        (folder / UP_FILE).write_text(run.text())
        (folder / RUNNING_FILE).write_text(json.dumps({"settings": {}}))
    return folder


def test_a_home_keeps_its_ports_and_another_has_others(tmp_path: Path) -> None:
    first = tmp_path / "first"
    with ThreadPoolExecutor() as pool:
        base, *others = pool.map(choose, (first, tmp_path / "second", tmp_path / "third"))
    assert base in ports.BASES and {*others} < {*ports.BASES} and len({base, *others}) == 3
    assert choose(first) == base == ports.remembered(first)
    assert choose(first, 17_000) == 17_000 == choose(first)
    assert choose(first, 0) is None
    assert choose(first) == 17_000, "free ports were asked for once, not for ever"


def test_a_range_of_which_a_port_is_taken_is_not_given_to_a_new_home(tmp_path: Path) -> None:
    free = next(base for base in ports.BASES if all(map(is_free, ServicePorts.after(base))))
    with socket.create_server(("127.0.0.1", free + 2)):
        assert choose(tmp_path / "new") not in (None, free)


def test_a_taken_port_is_replaced_and_said(tmp_path: Path) -> None:
    said: list[str] = []
    services = LocalServices(tmp_path, said.append)
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        free = next(port for port in range(16_000, 17_000) if is_free(port))
        got = services._on_ports({"BigQuery": taken, "BigQuery's Storage API": free}, lambda *chosen: chosen)
    assert got[1] == free
    assert said == [f"another program has port {taken}: BigQuery is at 127.0.0.1:{got[0]} this time"]


def test_ports_of_workers_do_not_meet() -> None:
    own = [ports.of_worker(14_000, place) for place in range(20)]
    first, last = map(int, ports.of_others(14_000).split("-"))
    assert len({*own, *range(first, last + 1), *ServicePorts.after(14_000)}) == 20 + 20 + 5
    assert last < 14_000 + ports.BLOCK
    assert ports.of_worker(14_000, 20) is None


def test_a_process_is_not_taken_for_another_one() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    known = identity(child.pid)
    run = Run(child.pid, known or "", 0, True, "model")
    assert known and run.lives()
    assert not Run(child.pid, "another one of this number", 0, True, "model").lives()
    child.communicate(b"\n")
    assert not run.lives()
    assert identity(child.pid) is None


def test_what_runs_in_a_home(tmp_path: Path) -> None:
    own = Run.own(True, "digest")
    runs = home(tmp_path / "runs", own)
    assert current(runs) == own
    assert announced(runs) == {"settings": {}}
    killed = home(tmp_path / "killed", Run(own.pid, "an earlier one", 0, True, "model"))
    assert current(killed) is None and noted(killed) is not None
    for text in ("", "[]", "{}", '{"pid": 1}'):
        (killed / UP_FILE).write_text(text)
        assert noted(killed) is None


def test_the_registry_drops_what_is_gone(tmp_path: Path) -> None:
    runs, stopped, gone = home(tmp_path / "runs", Run.own(True, "model")), home(tmp_path / "stopped"), tmp_path / "gone"
    for one in (runs, stopped, gone, runs):
        registry.remember(one)
    (registry.state_folder() / "homes" / "rubbish.json").write_text("[")
    assert registry.homes() == [runs, stopped]
    assert [folder for folder, _ in registry.running()] == [runs]
    assert len(list((registry.state_folder() / "homes").iterdir())) == 2


def test_a_state_folder_that_cannot_be_written_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    registry.remember(tmp_path)
    assert registry.homes() == []
