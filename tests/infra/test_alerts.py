"""The alert rules ask for what facestream shows, are tested, and lead to the runbook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.test_links import anchors
from tests.promql import unknown

ROOT = Path(__file__).parents[2]
RUNBOOK = ROOT / "docs" / "runbook.md"
FOLDER = ROOT / "infra" / "prometheus"
TESTS = yaml.safe_load((FOLDER / "alerts.test.yml").read_text("utf-8"))["tests"]
RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for group in yaml.safe_load((FOLDER / "alerts.yml").read_text("utf-8"))["groups"]
    for rule in group["rules"]
}
CASES = [case for test in TESTS for case in test["alert_rule_test"]]


@pytest.mark.parametrize("name", RULES)
def test_an_alert_asks_for_what_is_shown(name: str) -> None:
    assert not unknown(RULES[name]["expr"])


@pytest.mark.parametrize("name", RULES)
def test_an_alert_has_a_severity_and_a_section_of_the_runbook(name: str) -> None:
    rule = RULES[name]
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{name.lower()}"
    assert name.lower() in anchors(RUNBOOK)


@pytest.mark.parametrize("name", RULES)
def test_an_alert_is_shown_to_fire_and_to_be_quiet(name: str) -> None:
    assert {bool(case.get("exp_alerts")) for case in CASES if case["alertname"] == name} == {True, False}


def test_every_section_of_an_alert_has_an_alert() -> None:
    assert {one for one in anchors(RUNBOOK) if one.startswith("facestream")} == {name.lower() for name in RULES}


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("facestream_lag_second > 1", {"facestream_lag_second"}),
        ('facestream_lag_seconds{place="a"} > 1', {"facestream_lag_seconds{place}"}),
        ("sum by (place) (facestream_lag_seconds)", {"place"}),
        ("facestream_ready * on (place) up", {"place"}),
    ],
)
def test_what_nobody_shows_is_noticed(query: str, named: set[str]) -> None:
    assert unknown(query) == named
