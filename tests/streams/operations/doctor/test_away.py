"""A service that does not answer: `facestream up` may be restarting it, or a stack may run in another folder."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from infra import redis as valkey
from infra.ports import free_ports
from infra.services import LocalServices
from infra.supervisor import Backoff, Supervisor
from streams.homes import registry
from streams.homes.run import UP_FILE, Run
from streams.operations.doctor import bigquery, cluster, redis
from streams.operations.doctor.finding import Status
from streams.operations.doctor.remedies import Remedy
from streams.settings import RUNNING_FILE, Settings
from tests.streams.operations.doctor.ledger import heals, look
from tests.waiting import wait_until

GATE = """
import os, pathlib, sys, time
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.02)
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def home(folder: Path, **settings: str) -> Path:
    """A folder with a stack that this process runs."""
    folder.mkdir()
    (folder / "pid").write_text("1\n")
    (folder / UP_FILE).write_text(Run.own(True, "model").text())
    (folder / RUNNING_FILE).write_text(json.dumps({"settings": settings}))
    registry.remember(folder)
    return folder


@heals(Remedy.RESTARTING)
def test_a_server_that_is_being_restarted(tmp_path: Path) -> None:
    gate, log = tmp_path / "gate", tmp_path / "redis.log"
    gate.touch()
    [port] = free_ports(1)
    url = f"redis://127.0.0.1:{port}/0"
    settings = Settings(home=home(tmp_path / "home", redis_url=url), redis_url=url)
    server = [str(valkey.server()), "--port", str(port), "--dir", str(tmp_path), "--save", ""]
    with Supervisor(print, settings.home / "children.json") as supervisor:
        supervisor.start(
            "redis",
            [sys.executable, "-c", GATE, str(gate), *server],
            log=log,
            ready=lambda: valkey.answers(url),
            restart=Backoff(first_s=0.01),
        )
        assert look(redis.check(settings))["redis"].status is Status.OK
        gate.unlink()
        os.killpg(supervisor.running()["redis"], signal.SIGKILL)
        wait_until(lambda: '"deaths": []' not in (settings.home / "state.json").read_text())
        found = look(redis.check(settings))["redis"]
        assert found.status is Status.FAIL
        assert found.observed.startswith(f"no answer at 127.0.0.1:{port}: it is being restarted by `facestream up`")
        assert "(signal 9)" in found.observed and str(log) in (found.remedy or "")
        gate.touch()
        wait_until(lambda: look(redis.check(settings))["redis"].status is Status.OK)


@heals(Remedy.ELSEWHERE)
def test_a_stack_in_another_folder(services: LocalServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KAFKA", "REDIS_URL", "BIGQUERY_REST", "BIGQUERY_GRPC"):
        monkeypatch.delenv(f"FACESTREAM_{name}", raising=False)
    there = home(tmp_path / "there", **services.addresses.settings())
    away = {"kafka": "127.0.0.1:1", "redis_url": "redis://127.0.0.1:1", "bigquery_rest": "http://127.0.0.1:1"}
    lost = Settings(home=tmp_path / "here", **away)
    found = look([*cluster.check(lost), *redis.check(lost), *bigquery.check(lost)])
    for name in ("kafka", "redis", "bigquery"):
        assert f"`export FACESTREAM_HOME={there}` reaches it" in (found[name].remedy or "")
    monkeypatch.setenv("FACESTREAM_HOME", str(there))
    now = Settings()
    found = look([*cluster.check(now), *redis.check(now), *bigquery.check(now)])
    assert {found[name].status for name in ("kafka", "redis", "bigquery")} == {Status.OK}


def test_whoever_names_a_server_is_not_sent_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home(tmp_path / "there")
    monkeypatch.setenv("FACESTREAM_REDIS_URL", "redis://127.0.0.1:1")
    assert look(redis.check(Settings()))["redis"].remedy == Remedy.REDIS_AWAY()


def test_a_stack_that_is_starting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FACESTREAM_REDIS_URL", raising=False)
    here = home(tmp_path / "home")
    (here / RUNNING_FILE).unlink()
    found = look(redis.check(Settings(home=here, redis_url="redis://127.0.0.1:1")))["redis"]
    assert found.observed == "no answer at 127.0.0.1:1: it is being started by `facestream up`"
