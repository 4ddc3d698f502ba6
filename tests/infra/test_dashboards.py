"""The dashboards for Grafana that ask Prometheus: they are whole, and ask for what facestream shows."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from tests.promql import dashboards, unknown

BOARDS = dashboards()
WIDTH = 24
"""Columns of a dashboard."""


def panels(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = BOARDS[name]["panels"]
    return found


def test_which_there_are() -> None:
    assert set(BOARDS) == {"pipeline", "shards", "sinks", "models", "gateway", "privacy"}
    assert {name: board["uid"] for name, board in BOARDS.items()} == {name: f"facestream-{name}" for name in BOARDS}


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_a_dashboard_asks_for_what_is_shown(name: str) -> None:
    wrong = {
        (panel["title"], one)
        for panel in panels(name)
        for target in panel["targets"]
        for one in unknown(target["expr"].replace("$__rate_interval", "1m"))
    }
    assert not wrong


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_panels_have_a_place_and_a_data_source_of_their_own(name: str) -> None:
    source = {"type": "prometheus", "uid": "${datasource}"}
    assert [one["query"] for one in BOARDS[name]["templating"]["list"] if one["name"] == "datasource"] == ["prometheus"]
    cells: Counter[tuple[int, int]] = Counter()
    for panel in panels(name):
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= WIDTH
        cells.update((at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"]))
        assert panel["datasource"] == source and {json.dumps(one["datasource"]) for one in panel["targets"]} == {
            json.dumps(source)
        }
        assert len({one["refId"] for one in panel["targets"]}) == len(panel["targets"]) > 0
        assert panel["title"] and panel["fieldConfig"]["defaults"]["unit"]
    assert max(cells.values()) == 1, "panels lie on each other"
    assert len({one["id"] for one in panels(name)}) == len(panels(name))
