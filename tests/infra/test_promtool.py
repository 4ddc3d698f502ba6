"""The alert rules as Prometheus' own tool sees them, where it is installed; `make test-monitoring` gets it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.prometheus import found

FOLDER = Path(__file__).parents[2] / "infra" / "prometheus"
PROMTOOL = found("promtool")

pytestmark = pytest.mark.skipif(PROMTOOL is None, reason="there is no promtool: `make test-monitoring` gets it")


def promtool(*arguments: str, folder: Path = FOLDER) -> str:
    assert PROMTOOL is not None
    ended = subprocess.run(
        [PROMTOOL, *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return ended.stdout if ended.returncode == 0 else f"promtool ended with {ended.returncode}: {ended.stdout}"


def test_the_rules_are_rules() -> None:
    assert "SUCCESS" in promtool("check", "rules", "alerts.yml")


def test_alerts_fire_when_they_should() -> None:
    assert "SUCCESS" in promtool("test", "rules", "alerts.test.yml")


def test_a_threshold_that_is_wrong_is_noticed(tmp_path: Path) -> None:
    rules = (FOLDER / "alerts.yml").read_text("utf-8")
    changed = rules.replace("facestream_waiting_seconds > 120", "facestream_waiting_seconds > 90")
    (tmp_path / "alerts.yml").write_text(changed, "utf-8")
    (tmp_path / "alerts.test.yml").write_text((FOLDER / "alerts.test.yml").read_text("utf-8"), "utf-8")
    assert "FacestreamWaits" in promtool("test", "rules", "alerts.test.yml", folder=tmp_path)
