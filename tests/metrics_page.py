"""What docs/reference/metrics.md says, and whether a process shows exactly that."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from streams.observability.metrics import GATEWAY
from streams.roles import Role

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "metrics.md"


@dataclass(frozen=True)
class Told:
    """A line of the page."""

    type: str
    unit: str
    labels: frozenset[str]
    roles: frozenset[str]


def _roles(text: str) -> frozenset[str]:
    named = set(re.findall("`([a-z-]+)`", text))
    if text.startswith("all workers but"):
        return frozenset(set(Role) - named)
    return frozenset({*Role, *named} if text.startswith("all workers") else named)


def told() -> Mapping[str, Told]:
    """The lines of the page by the name of the metric."""
    rows = [line.strip("| ").split(" | ") for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| `")]
    return {
        name.strip("`"): Told(kind, unit, frozenset(re.findall("`([a-z_]+)`", labels)), _roles(roles))
        for name, kind, unit, labels, roles, *_ in rows
    }


def shown(metrics: str) -> Mapping[str, tuple[str, frozenset[str]]]:
    """The type and the labels of what a process shows of facestream."""
    found = {}
    for family in text_string_to_metric_families(metrics):
        if family.name.startswith("facestream_"):
            kind = "info" if family.name.endswith("_info") else family.type
            name = f"{family.name}_total" if kind == "counter" else family.name
            found[name] = (kind, frozenset(family.samples[0].labels) - {"le"})
    return found


def check_shown(metrics: str, role: str, *, may_lack: Collection[str] = ()) -> None:
    """Whether the metrics of a process are those of its role on the page, with their types and labels.

    Args:
        metrics: what ``/metrics`` answered.
        role: of the worker, or ``gateway``.
        may_lack: metrics that the page names and that have nothing to show yet.
    """
    page = told()
    assert set(may_lack) <= page.keys()
    expected = {name: (one.type, one.labels) for name, one in page.items() if role in one.roles}
    found = shown(metrics)
    assert {name: one for name, one in found.items() if expected.get(name) != one} == {}, "not what the page says"
    assert {one for one in expected if one not in found} - set(may_lack) == set(), "on the page, and not shown"


EVENTUAL = tuple(
    name
    for name, one in told().items()
    if one.roles <= {*Role, GATEWAY}
    and (one.labels - {"role", "reason"} or (one.type == "gauge" and not one.labels and "http" not in name))
    and one.type != "info"
)
"""What a process shows only once there is something to show."""
