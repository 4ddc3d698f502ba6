"""What Prometheus is told by workers that have had something to do."""

from __future__ import annotations

import urllib.request

import pytest

from streams.devtools.local_stack import Stack
from streams.kafka.connection import admin_client
from streams.kafka.consumer_groups import describe_group, group_id
from streams.operations.erase import erase
from streams.roles import ANSWERING, Role
from streams.topology import READS
from tests.integration.clients import Clients, named
from tests.integration.conftest import Portraits
from tests.metrics_page import check_shown, told
from tests.waiting import wait_until

ONLY_IN_TROUBLE = ("facestream_unreadable_offset", "facestream_log_records_total")
"""Partitions that cannot be read, and records that were read to answer a question."""
NO_STANDBY = ("facestream_standby_lag_records",)
"""One worker of match has nobody's warm copies."""


def metrics_of(stack: Stack, role: Role) -> str:
    [member] = describe_group(admin_client(stack.settings), group_id(role, stack.settings)).members
    with urllib.request.urlopen(f"http://127.0.0.1:{member.health_port}/metrics") as answer:
        return str(answer.read().decode())


@pytest.fixture(scope="module")
def busy(stack: Stack, clients: Clients, portraits: Portraits) -> Stack:
    """A stack that has enrolled, matched and erased somebody."""
    user = "somebody-of-the-metrics"
    sent = clients.producer.enrol(user, portraits.obama, consent="tests", subject_id="obama")
    frame = clients.producer.frame(user, portraits.obama2, camera_id="door")
    assert named(clients.answer(frame.event_id)) == ["obama"]
    clients.row("enrolments", sent.event_id)
    assert erase(stack.settings, user).completed_at is not None
    return stack


@pytest.mark.parametrize("role", ANSWERING)
def test_a_worker_shows_what_the_page_of_metrics_says(role: Role, busy: Stack) -> None:
    wait_until(lambda: f'facestream_lag_seconds{{partition="0",role="{role}"' in metrics_of(busy, role))
    metrics = metrics_of(busy, role)
    check_shown(metrics, role, may_lack=(*ONLY_IN_TROUBLE, *NO_STANDBY))
    assert f'facestream_events_total{{role="{role}"}} 0.0' not in metrics
    for topic in READS[role]:
        partitions = f'facestream_topic_partitions{{role="{role}",topic="{topic.named(busy.settings)}"}} 4.0'
        assert (partitions in metrics) is (topic.value != "probes")


def test_who_counts_erasures() -> None:
    readers = {role for role, topics in READS.items() if "erasures" in {one.value for one in topics}}
    assert told()["facestream_erasures_total"].roles == readers
