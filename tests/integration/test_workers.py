"""Workers that stop, die, lose their disk, and get company: the galleries stay, and every event has its effect once."""

from __future__ import annotations

import shutil
from itertools import cycle, islice
from pathlib import Path

import pytest

from streams.devtools.local_stack import Stack
from streams.devtools.reconciliation import Reconciliation
from streams.devtools.synthetic_frames import Scene
from streams.kafka.connection import admin_client
from streams.kafka.consumer_groups import describe_group, group_id
from streams.roles import Role
from tests.integration.clients import Clients, eventually, named, new_user
from tests.integration.conftest import Portraits


@pytest.fixture
def hosts(clients: Clients, portraits: Portraits, stack: Stack) -> list[str]:
    """Users on every partition, each with one subject."""
    users = [new_user("resident") for _ in range(12 * stack.settings.partitions)]
    sent = [clients.producer.enrol(user, portraits.obama, consent="tests", subject_id="obama") for user in users]
    assert {one.result(30).partition for one in sent} == set(range(stack.settings.partitions))
    assert {answer["outcome"] for answer in clients.answers([one.event_id for one in sent]).values()} == {"enrolled"}
    return users


@pytest.mark.parametrize(
    "how",
    [
        "SIGTERM",
        "SIGKILL, tables lost",
        pytest.param("SIGKILL", marks=pytest.mark.long),
        pytest.param("SIGTERM, tables lost", marks=pytest.mark.long),
    ],
)
def test_a_restarted_match_worker_knows_its_galleries(
    how: str, stack: Stack, clients: Clients, hosts: list[str], portraits: Portraits
) -> None:
    supervisor = stack.services.supervisor
    if "SIGKILL" in how:
        supervisor.kill("match-0")
    else:
        supervisor.stop("match-0")
    # What is asked meanwhile is answered later.
    waiting = [clients.producer.frame(user, portraits.obama2, camera_id="door").event_id for user in hosts]
    if "tables lost" in how:
        (tables,) = (folder for folder in (stack.folder / "workers").glob("*match*") if folder.is_dir())
        shutil.rmtree(tables)
    supervisor.restart("match-0")
    asked = [clients.producer.frame(user, portraits.obama2, camera_id="door").event_id for user in hosts]
    answers = clients.answers([*waiting, *asked], timeout_s=120)
    assert all(named(answer) == ["obama"] for answer in answers.values())
    # It goes on enrolling where it stopped.
    more = clients.producer.enrol(hosts[0], portraits.obama2, consent="tests", subject_id="obama")
    assert clients.answer(more.event_id)["templates"] == 2


def test_more_workers_while_events_flow(stack: Stack, clients: Clients, photos: Path, hosts: list[str]) -> None:
    cameras = zip(cycle(hosts), Scene(photos / "obama2.jpg"), strict=False)

    def frames(count: int) -> list[str]:
        return [clients.producer.frame(user, jpeg, camera_id="door").event_id for user, jpeg in islice(cameras, count)]

    sent = frames(60)
    added = [stack.add_worker(role) for role in (Role.MATCH, Role.EMBED)]
    admin = admin_client(stack.settings)

    def shared() -> bool:
        sent.extend(frames(1))
        groups = [describe_group(admin, group_id(role, stack.settings)) for role in (Role.MATCH, Role.EMBED)]
        return all(
            group.settled and [bool(member.partitions) for member in group.members] == [True, True] for group in groups
        )

    eventually(shared, "two workers of each have partitions", timeout_s=120)
    sent += frames(60)
    stack.services.supervisor.stop(*added)
    sent += frames(20)
    stack.await_owners([Role.MATCH, Role.EMBED])

    accounts = Reconciliation(stack.settings)
    account = accounts.settle(sent, hosts, timeout_s=120)
    accounts.close()
    assert (account.lost, account.duplicates) == (0, 0)
    wrong = [answer for answer in account.answers.values() if set(named(answer)) - {"obama", None}]
    missed = [answer for answer in account.answers.values() if "obama" not in named(answer)]
    assert not wrong
    assert len(missed) <= len(sent) // 50
