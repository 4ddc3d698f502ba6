"""The queries of alert rules and dashboards: what they ask for, and whether facestream shows it."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import promql_parser
from promql_parser import AggregateExpr, BinaryExpr, Expr, VectorSelector

from tests.metrics_page import told

OF_PROMETHEUS: Mapping[str, Collection[str]] = {
    "up": (),
    "process_start_time_seconds": (),
    "process_resident_memory_bytes": (),
    "process_cpu_seconds_total": (),
}
"""Metrics that Prometheus and its client library add, and that the page does not list."""
OF_TARGETS = {"job", "instance", "worker"}
"""Labels that every series of a target has: the last in the file of targets of ``facestream up``."""


@functools.cache
def known() -> Mapping[str, Collection[str]]:
    """The labels of each series that there is, by its name."""
    series: dict[str, Collection[str]] = dict(OF_PROMETHEUS)
    for name, one in told().items():
        if one.type == "histogram":
            series |= {f"{name}_count": one.labels, f"{name}_sum": one.labels, f"{name}_bucket": one.labels | {"le"}}
        else:
            series[name] = one.labels
    return series


def unknown(query: str) -> Collection[str]:
    """The names of series and labels in a query that no process shows.

    Raises:
        ValueError: it is no PromQL.
    """
    wrong: set[str] = set()
    labels: set[str] = set(OF_TARGETS)
    asked: set[str] = set()

    def visit(node: Expr) -> None:
        if isinstance(node, VectorSelector):
            name = str(node.name)
            own = known().get(name)
            if own is None:
                wrong.add(name)
                return
            labels.update(own)
            wrong.update(
                f"{name}{{{one.name}}}" for one in node.matchers.matchers if one.name not in OF_TARGETS | set(own)
            )
        elif isinstance(node, AggregateExpr) and node.modifier is not None:
            asked.update(node.modifier.labels)
        elif isinstance(node, BinaryExpr) and node.modifier is not None:
            asked.update(node.modifier.group_labels or ())
            asked.update(node.modifier.matching.labels if node.modifier.matching else ())

    promql_parser.walk(promql_parser.parse(query), visit)
    return wrong | (asked - labels)


def names(query: str) -> set[str]:
    """The names of the metrics in a query, as the page of metrics has them."""
    found: set[str] = set()

    def visit(node: Expr) -> None:
        if isinstance(node, VectorSelector):
            found.add(re.sub("_(bucket|sum|count)$", "", str(node.name)))

    promql_parser.walk(promql_parser.parse(query), visit)
    return found


def dashboards() -> Mapping[str, dict[str, Any]]:
    """The dashboards that ask Prometheus, by the names of their files."""
    folder = Path(__file__).parents[1] / "infra" / "grafana"
    boards = {path.stem: json.loads(path.read_text("utf-8")) for path in folder.glob("*.json")}
    return {name: one for name, one in boards.items() if name != "analysts"}


def queries(board: Mapping[str, Any]) -> Mapping[str, str]:
    """The queries of a dashboard by their panel and letter, for a scrape every few seconds."""
    return {
        f"{panel['title']} {target['refId']}": target["expr"].replace("$__rate_interval", "1m")
        for panel in board["panels"]
        for target in panel["targets"]
    }
