"""Prometheus' programs, for the tests of alerts and dashboards: used where they are installed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from infra.ports import LOOPBACK, free_ports
from tests.waiting import wait_until

MISSING = (
    "prometheus and promtool are not found (Debian, Ubuntu: apt-get install prometheus; elsewhere: "
    "https://prometheus.io/download/)"
)


def found(program: str) -> str | None:
    """The path of ``prometheus`` or ``promtool``."""
    return shutil.which(program)


class Prometheus:
    """A server that runs with the ``prometheus.yml`` of a folder; a context manager that stops it."""

    def __init__(self, folder: Path) -> None:
        (port,) = free_ports(1)
        self._address, self._folder = f"{LOOPBACK}:{port}", folder

    def __enter__(self) -> Self:
        program = found("prometheus")
        assert program is not None
        arguments = [
            "--config.file=prometheus.yml",
            f"--web.listen-address={self._address}",
            "--storage.tsdb.path=data",
        ]
        with (self._folder / "prometheus.log").open("wb") as log:
            self._process = subprocess.Popen([program, *arguments], cwd=self._folder, stdout=log, stderr=log)
        try:
            wait_until(self._is_ready, 60, "Prometheus serves")
        except BaseException:
            self._process.kill()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait(60)

    def query(self, query: str) -> list[dict[str, Any]]:
        """What a query answers now; HTTPError if it is no PromQL."""
        found: list[dict[str, Any]] = self._ask(f"query?{urllib.parse.urlencode({'query': query})}")["result"]
        return found

    def rules(self) -> list[dict[str, Any]]:
        """The rules with their health."""
        return [rule for group in self._ask("rules")["groups"] for rule in group["rules"]]

    def alerts(self) -> set[str]:
        """The names of the alerts that are pending or firing."""
        return {one["labels"]["alertname"] for one in self._ask("alerts")["alerts"]}

    def _ask(self, path: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://{self._address}/api/v1/{path}", timeout=60) as answer:
            data: dict[str, Any] = json.load(answer)["data"]
        return data

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, (self._folder / "prometheus.log").read_text("utf-8")
        with suppress(OSError), urllib.request.urlopen(f"http://{self._address}/-/ready", timeout=5) as answer:
            return bool(answer.status == 200)
        return False


if __name__ == "__main__":
    sys.exit(None if found("prometheus") and found("promtool") else MISSING)
