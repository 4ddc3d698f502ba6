"""A stack in the background, by the commands that start it, look at it and stop it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from streams.homes import state
from streams.homes.ports import remembered
from streams.homes.targets import TARGETS_FILE
from streams.roles import running_roles
from tests.metrics_page import EVENTUAL, check_shown
from tests.streams.cli import preloaded
from tests.streams.cli.conftest import Ended, command, environment
from tests.waiting import wait_until

Command = Callable[..., Ended]
HOME = ".facestream"


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a user of this stack; other tests do not see it in their list of stacks."""
    return environment(XDG_STATE_HOME=str(tmp_path_factory.mktemp("state")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, variables: dict[str, str]) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("stack")
    (folder / HOME).mkdir()
    (folder / HOME / "facestream.toml").write_text('partitions = 2\nretention_hours = 24\nredis_prefix = "mine:"\n')
    yield folder
    run(folder, variables, "down")


def run(folder: Path, variables: dict[str, str], *arguments: str) -> Ended:
    """Run a command; ``up`` and ``down`` as a program, the others as a fork, which behaves alike and starts sooner."""
    if arguments[0] not in ("up", "down"):
        return Ended(*preloaded.run([*arguments], variables, folder, 600))
    ended = subprocess.run(
        command(*arguments), env=variables, cwd=folder, capture_output=True, text=True, timeout=600, check=False
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


@pytest.fixture(scope="module")
def facestream(folder: Path, variables: dict[str, str]) -> Command:
    return lambda *arguments: run(folder, variables, *arguments)


def children(home: Path) -> dict[str, state.Child]:
    return {one.name: one for one in state.look(home).children}


def findings(ended: Ended) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in ended.json["checks"]}


def test_a_stack_in_the_background(
    facestream: Command, folder: Path, variables: dict[str, str], tmp_path: Path
) -> None:
    home = folder / HOME
    assert "No stack runs in" in facestream("down").out
    started = facestream("up", "--detach", "--embedder", "digest", "--json")
    assert started.code == 0, started.err
    assert started.json["ready"] and started.json["roles"] == list(running_roles([]))
    base = remembered(home)
    assert base is not None

    there = facestream("status", "--json").json
    assert (there["state"], there["home"], there["pid"]) == ("ready", str(home), started.json["pid"])
    assert [one["name"] for one in there["services"]] == ["kafka", "redis", "bigquery", "gateway"]
    assert [one["role"] for one in there["workers"]] == list(running_roles([]))
    assert {one["state"] for one in (*there["services"], *there["workers"])} == {"running"}
    for target in json.loads((home / TARGETS_FILE).read_text()):
        with urllib.request.urlopen(f"http://{target['targets'][0]}/metrics") as answer:
            name, told = target["labels"]["worker"], answer.read().decode()
        check_shown(told, children(home)[name].role or "gateway", may_lack=EVENTUAL)

    told = json.loads((home / "running.json").read_text())["settings"]
    key = (home / "gateway.key").read_text().strip()
    assert (home / "gateway.key").stat().st_mode & 0o077 == 0 and key in started.err
    assert f"http://127.0.0.1:{told['gateway_port']}/#key={key}\n" in started.err
    request = urllib.request.Request(
        f"http://127.0.0.1:{told['gateway_port']}/api/v1/users/anna/subjects", headers={"X-API-Key": key}
    )
    with urllib.request.urlopen(request) as answer:
        assert json.loads(answer.read())["subjects"] == []

    again = facestream("up", "--embedder", "digest", "--json")
    assert again.code == 0 and again.json["already"] and again.json["pid"] == started.json["pid"]
    assert facestream("up", "--no-workers").code == 1

    found = findings(facestream("doctor", "--quick", "--json"))
    assert found["topics"]["status"] == "ok", "they follow the settings file"
    told = facestream("settings", "--json").json["settings"]
    assert told["FACESTREAM_RETENTION_HOURS"] == {"value": "24.0", "from": f"{HOME}/running.json"}

    elsewhere = run(tmp_path, variables, "shards")
    assert elsewhere.code == 1
    assert f"a stack runs in {home}: `export FACESTREAM_HOME={home}` reaches it" in elsewhere.err
    assert [one["home"] for one in run(tmp_path, variables, "status", "--json").json["others"]] == [str(home)]

    before = children(home)["kafka"].pid
    assert before is not None
    os.killpg(before, signal.SIGKILL)
    wait_until(lambda: children(home)["kafka"].pid not in (None, before))
    new = children(home)["kafka"].pid
    assert new is not None
    os.killpg(new, signal.SIGSTOP)  # so that it does not serve before this is over
    try:
        asked = facestream("shards")
        assert "it is being restarted by `facestream up`: it died" in asked.err
        assert "is being restarted" in findings(facestream("doctor", "--quick", "--json"))["kafka"]["seen"]
    finally:
        os.killpg(new, signal.SIGCONT)
    wait_until(lambda: children(home)["kafka"].state == "running")
    assert children(home)["kafka"].deaths == 1

    stopped = facestream("down", "--json")
    assert stopped.code == 0 and stopped.json["stopped"], stopped.err
    assert facestream("status", "--json").json["state"] == "stopped"
    assert json.loads((home / TARGETS_FILE).read_text()) == []
    assert not facestream("down", "--json").json["stopped"]
    assert remembered(home) == base
