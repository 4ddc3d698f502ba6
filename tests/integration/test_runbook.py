"""The commands of docs/runbook.md, typed on a stack in the background with a camera, and Prometheus that watches it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.photos import sample_photos
from infra.ports import free_ports
from tests.integration.test_walk import Terminal
from tests.integration.versions import turned
from tests.prometheus import Prometheus, found
from tests.promql import dashboards, queries
from tests.streams.cli.conftest import command, environment
from tests.waiting import wait_until

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
LONG_S = 600
"""Most seconds to wait for anything, on a slow and busy machine."""
SETTINGS = """
partitions = 2
drift_reference = 50
drift_window = 50
hook_private_networks = true
search_purposes = ["search"]
"""
CAMERAS = """
[[camera]]
name = "front-door"
source = "photos"
user = "anna"
fps = 2
loop = true
"""


def sections() -> dict[str, list[str]]:
    """The lines for a shell below each heading of the runbook."""
    text = (ROOT / "docs" / "runbook.md").read_text("utf-8")
    parts = re.split(r"^#+ (.+)\n", text, flags=re.MULTILINE)
    blocks = {
        heading: [line for code in re.findall(r"^```sh\n(.*?)^```$", body, re.M | re.S) for line in code.splitlines()]
        for heading, body in zip(parts[1::2], parts[2::2], strict=True)
    }
    return {heading: lines for heading, lines in blocks.items() if lines}


class Accepting(BaseHTTPRequestHandler):
    """The address of a hook."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Site:
    """A folder with a stack that runs in the background, a terminal in it, and a camera that sends frames."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / ".facestream"
        self.environment: dict[str, str] = environment(XDG_STATE_HOME=str(folder / "state"))
        (folder / ".venv").symlink_to(sys.prefix)
        (folder / "photos").symlink_to(sample_photos())
        self.settle()
        (folder / "cameras.toml").write_text(CAMERAS)
        self.terminal = Terminal(folder, LONG_S)
        self.terminal.type(f"export XDG_STATE_HOME={folder / 'state'} PATH=$PWD/.venv/bin:$PATH")
        (self.camera_port,) = free_ports(1)
        self._camera: subprocess.Popen[bytes] | None = None

    def settle(self) -> None:
        """Make the home, with nothing but its settings."""
        self.home.mkdir()
        (self.home / "facestream.toml").write_text(SETTINGS)

    def type(self, line: str) -> str:
        """Type a line that succeeds; return what it printed."""
        code, said = self.terminal.type(line)
        assert code == 0, said
        return said

    def start_camera(self) -> None:
        self._camera = subprocess.Popen(
            command("camera", "cameras.toml"),
            env=self.environment | {"FACESTREAM_HEALTH_PORT": str(self.camera_port)},
            cwd=self.folder,
        )

    def stop_camera(self) -> None:
        if self._camera is not None:
            self._camera.terminate()
            self._camera.wait(LONG_S)
            self._camera = None

    def request(self, path: str, **headers: str) -> int:
        """Ask the gateway; return the status of its answer."""
        port = json.loads((self.home / "running.json").read_text())["settings"]["gateway_port"]
        try:
            with urllib.request.urlopen(
                urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers), timeout=LONG_S
            ) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def close(self) -> None:
        self.stop_camera()
        self.terminal.close()
        subprocess.run(command("down"), env=self.environment, cwd=self.folder, check=False, timeout=LONG_S)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"))
    try:
        site.type("facestream up --detach")
        site.type("facestream enrol --user anna --subject obama photos/obama.jpg photos/obama2.jpg")
        site.start_camera()
        yield site
    finally:
        site.close()


@pytest.fixture
def address() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Accepting)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.mark.skipif(
    found("prometheus") is None, reason="there is no Prometheus: `make test-monitoring` says how to get it"
)
def test_dashboards_and_alerts_have_answers(site: Site, address: str, tmp_path: Path) -> None:
    targets: list[dict[str, Any]] = [
        {"file_sd_configs": [{"files": [str(site.home / "prometheus-targets.json")], "refresh_interval": "1s"}]},
        {"static_configs": [{"targets": [f"127.0.0.1:{site.camera_port}"], "labels": {"worker": "camera"}}]},
    ]
    configuration = {
        "global": {"scrape_interval": "5s", "scrape_timeout": "5s", "evaluation_interval": "1s"},
        "rule_files": [str(ROOT / "infra" / "prometheus" / "alerts.yml")],
        "scrape_configs": [{"job_name": f"facestream-{at}", **one} for at, one in enumerate(targets)],
    }
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    site.type(f"facestream hooks add {address} --all-users")
    key = (site.home / "gateway.key").read_text().strip()
    with Prometheus(tmp_path) as prometheus:
        waiting = {
            f"{name}: {title}": query for name, one in dashboards().items() for title, query in queries(one).items()
        }
        assert len(waiting) > 60

        def answered() -> bool:
            site.request("/api/v1/users/anna/subjects", **{"X-API-Key": key})
            site.request("/api/v1/users/anna/subjects")
            for title, query in list(waiting.items()):
                if prometheus.query(query):
                    del waiting[title]
            return not waiting

        try:
            wait_until(answered, LONG_S)
        except AssertionError:
            pytest.fail(f"without an answer: {waiting}")

        rules = prometheus.rules()
        assert {rule["health"] for rule in rules} == {"ok"} and len(rules) > 20
        site.stop_camera()
        wait_until(lambda: "FacestreamDown" in prometheus.alerts(), LONG_S)


def test_usual_days(site: Site) -> None:
    days = sections()
    second = Terminal(site.folder, LONG_S)
    try:
        second.type(f"export XDG_STATE_HOME={site.folder / 'state'} PATH=$PWD/.venv/bin:$PATH")
        for line in (*days.pop("Runbook"), *days.pop("FacestreamDeadLetters")):
            assert site.type(line).strip()
        if site._camera is None:
            site.start_camera()

        plan, start, shards = days.pop("Add capacity")
        assert "embed" in site.type(plan)
        second.start(start, "health at")

        def owners() -> set[str]:
            shown = json.loads(site.type(f"{shards} --json").splitlines()[-1])
            return {str(one["owner"]) for one in shown["roles"]["embed"]["partitions"] if one["owner"]}

        wait_until(lambda: len(owners()) == 2, LONG_S, "the new worker has a partition")
        assert second.interrupt()[0] in (0, 130)
    finally:
        second.close()

    for line in days.pop("Upgrade Kafka"):
        assert site.type(line).strip()

    for line in days.pop("Upgrade facestream"):
        assert site.type(line).strip()
    assert (site.folder / "galleries.avro").exists()

    turned(site.folder / "turned", "turned")
    for line in ("models import turned", "models shadow turned", "models promote turned"):
        site.type(f"facestream {line}")
    before, rollback, after, *replay = days.pop("A bad model")
    assert re.search(r"turned.*production", site.type(before))
    site.type(rollback)
    assert not re.search(r"turned.*production", site.type(after))
    for line in replay:
        assert site.type(line).strip()

    count, erase, subjects = days.pop("An erasure request")
    assert "obama" in site.type(subjects)
    site.type(count)
    site.type(erase)
    receipt: dict[str, Any] = json.loads((site.folder / "receipt.json").read_text().splitlines()[-1])
    assert receipt["completed_at"]
    assert "obama" not in site.type(subjects)

    for line in days.pop("A full disk"):
        assert site.type(line).strip()

    site.stop_camera()
    site.type("facestream down")
    site.home.rename(site.folder / "lost")
    site.settle()
    for line in days.pop("Restore from nothing"):
        said = site.type(line)
    assert "obama" in said
    assert not days, "nothing types these lines"
