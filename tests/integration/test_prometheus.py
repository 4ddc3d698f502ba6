"""A Prometheus that scrapes the stack: dashboards have answers, and alert rules are evaluated."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from streams.devtools.local_stack import Stack
from streams.kafka.connection import admin_client
from streams.kafka.consumer_groups import describe_group, group_id
from streams.roles import ANSWERING
from tests.integration.clients import Clients, named
from tests.integration.conftest import Portraits
from tests.metrics_page import told
from tests.prometheus import Prometheus, found
from tests.promql import OF_PROMETHEUS, dashboards, names, queries
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(found("prometheus") is None, reason="there is no Prometheus")

ROOT = Path(__file__).parents[2]
LONG_S = 300
NOT_HERE = {"facestream_unreadable_offset", "facestream_log_records_total", "facestream_standby_lag_records"}
"""Partitions that cannot be read, records read to answer a question, and warm copies: this stack may have none."""


@pytest.fixture(scope="module")
def prometheus(
    stack: Stack, clients: Clients, portraits: Portraits, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """A server that scrapes workers which have something to show, and a process that is away."""
    user = "somebody-of-prometheus"
    clients.producer.enrol(user, portraits.obama, consent="tests", subject_id="obama")
    frame = clients.producer.frame(user, portraits.obama2, camera_id="door")
    assert named(clients.answer(frame.event_id)) == ["obama"]
    admin = admin_client(stack.settings)
    members = [one for role in ANSWERING for one in describe_group(admin, group_id(role, stack.settings)).members]
    targets = [
        *({"targets": [f"127.0.0.1:{one.health_port}"], "labels": {"worker": one.name}} for one in members),
        {"targets": ["127.0.0.1:1"], "labels": {"worker": "away"}},
    ]
    configuration = {
        "global": {"scrape_interval": "5s", "scrape_timeout": "5s", "evaluation_interval": "1s"},
        "rule_files": [str(ROOT / "infra" / "prometheus" / "alerts.yml")],
        "scrape_configs": [{"job_name": "facestream", "static_configs": targets}],
    }
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    with Prometheus(folder) as running:
        yield running


def test_dashboards_have_answers(prometheus: Prometheus) -> None:
    answering = {name for name, one in told().items() if one.roles & set(ANSWERING)} - NOT_HERE
    every = {f"{name}: {title}": query for name, one in dashboards().items() for title, query in queries(one).items()}
    waiting = {
        title: query
        for title, query in every.items()
        if names(query) <= answering | set(OF_PROMETHEUS) or query.endswith("or vector(0)")
    }
    assert len(waiting) > 40

    def answered() -> bool:
        for title, query in list(waiting.items()):
            if prometheus.query(query):
                del waiting[title]
        return not waiting

    try:
        wait_until(answered, LONG_S)
    except AssertionError:
        pytest.fail(f"without an answer: {waiting}")
    for query in every.values():
        prometheus.query(query)  # fails if Prometheus does not take it


def test_rules_are_evaluated(prometheus: Prometheus) -> None:
    wait_until(lambda: {one["health"] for one in prometheus.rules()} == {"ok"}, LONG_S)
    wait_until(lambda: "FacestreamDown" in prometheus.alerts(), LONG_S)
