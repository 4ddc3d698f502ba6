"""Topics that are deleted and created again while their workers run: answers come again without anybody's help."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import NewPartitions

from infra.services import LocalServices
from infra.supervisor import Backoff, Supervisor
from schemas.clock import utc_now
from schemas.ingest import Consent
from sinks.bigquery import Address
from streams.kafka.commit_metadata import CommitMetadata
from streams.kafka.connection import admin_client, metadata
from streams.kafka.consumer_groups import describe_group, group_id
from streams.kafka.topic_admin import create
from streams.kafka.topic_identity import is_void
from streams.kafka.topics import Topic
from streams.observability.health_client import health_of
from streams.operations.erase import erase
from streams.roles import Role
from streams.settings import Settings
from tests.integration.clients import Clients, eventually
from tests.sinks.servers import apply_tables
from tests.streams.cli.conftest import environment

PARTITIONS = 1
PATIENCE_S = 180


class Deployment:
    """Workers of every role on the shared services, with topics, keys and tables of their own."""

    def __init__(self, services: LocalServices, supervisor: Supervisor, folder: Path) -> None:
        name = f"again-{uuid.uuid4().hex[:8]}"
        self.settings = Settings(
            **services.addresses.settings(),
            home=folder,
            topic_prefix=f"{name}.",
            redis_prefix=f"{name}:",
            bigquery_dataset=name.replace("-", "_"),
            partitions=PARTITIONS,
        )
        self.admin = admin_client(self.settings)
        create(self.admin, self.settings, accept_loss=True)
        now = self.settings
        tables = Address(now.bigquery_project, now.bigquery_dataset, now.bigquery_rest, now.bigquery_grpc)
        apply_tables(tables)
        self._supervisor, self._folder = supervisor, folder
        for role in Role:
            self.add(role)

    def add(self, role: Role, number: int = 0) -> None:
        values = self.settings.model_dump(mode="json", exclude_unset=True)
        variables = environment(
            **{f"FACESTREAM_{name.upper()}": v if isinstance(v, str) else json.dumps(v) for name, v in values.items()}
        )
        self._supervisor.start(
            f"{role}-{number}",
            [sys.executable, "-m", "streams.cli", "worker", role, "--embedder", "digest"],
            log=self._folder / f"{role}-{number}.log",
            env=variables,
            restart=Backoff(most_s=2),
        )

    def reports(self) -> list[dict[str, Any]]:
        """What the workers say of their health."""
        groups = [describe_group(self.admin, group_id(role, self.settings)) for role in Role]
        found = [health_of(member, self.settings) for group in groups for member in group.members]
        return [one for one in found if one is not None]

    def await_ready(self, workers: int = len(Role)) -> None:
        def ready() -> bool:
            reports = self.reports()
            return len(reports) == workers and all(one["ready"] for one in reports)

        eventually(ready, "all workers are ready", PATIENCE_S)

    def delete(self, *topics: Topic) -> None:
        names = {topic.named(self.settings) for topic in topics}
        for deleted in self.admin.delete_topics(list(names)).values():
            deleted.result(30)
        eventually(lambda: not names & metadata(self.admin, self.settings).topics.keys(), "they are gone")

    def create(self) -> None:
        create(self.admin, self.settings, accept_loss=True)


@pytest.fixture(scope="module")
def deployment(services: LocalServices, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with Supervisor() as supervisor:
        made = Deployment(services, supervisor, tmp_path_factory.mktemp("again"))
        made.await_ready()
        yield made


@pytest.fixture(scope="module")
def clients(deployment: Deployment) -> Iterator[Clients]:
    with ExitStack() as closing:
        opened = Clients(deployment.settings)
        closing.callback(opened.close)
        yield opened


def answered(clients: Clients, frames: int, since: str) -> None:
    """Whatever is sent now is answered, and in the tables."""
    users = [f"{since}-{number}" for number in range(4)]
    consent = Consent("tests", utc_now())
    sent = [clients.producer.enrol(user, user.encode(), subject_id="me", consent=consent) for user in users]
    clients.producer.flush()
    seen = [
        clients.producer.frame(users[number % 4], users[number % 4].encode(), camera_id="door")
        for number in range(frames)
    ]
    clients.producer.flush()
    answers = clients.answers([one.event_id for one in [*sent, *seen]], PATIENCE_S)
    assert {answers[one.event_id]["faces"][0]["subject_id"] for one in seen} == {"me"}
    eventually(lambda: clients.query("SELECT 1 FROM matches WHERE user_id = @user", user=users[0]), "it is there", 120)
    clients.rows("matches", [one.event_id for one in seen])


def test_frames(deployment: Deployment, clients: Clients) -> None:
    answered(clients, 40, "before")
    deployment.delete(Topic.FRAMES)
    eventually(
        lambda: any("no topic" in (one["problem"] or "") and not one["ready"] for one in deployment.reports()),
        "the embed worker says so",
    )
    deployment.create()
    answered(clients, 8, "after")
    deployment.await_ready()


def test_everything_that_is_read(deployment: Deployment, clients: Clients) -> None:
    """Also where new messages get the places that old ones had: in logs, marks, letters and rows."""
    answered(clients, 40, "full")
    places = [clients.put(Topic.FRAMES, b"rubbish", "somebody", partition=0)]
    before = clients.letters(places)[places[0]]
    clients.row("dead_letters", before.letter_id)
    topics = [topic for topic in Topic if topic is not Topic.CHIPS]
    deployment.delete(*topics)
    deployment.create()
    for _ in range(places[0].offset):
        clients.put(Topic.FRAMES, b"rubbish too", "somebody", partition=0)
    assert clients.put(Topic.FRAMES, b"other rubbish", "somebody", partition=0) == places[0]
    answered(clients, 8, "again")
    after = clients.letters(places)[places[0]]
    assert after.letter_id != before.letter_id
    clients.row("dead_letters", after.letter_id)
    receipt = erase(deployment.settings, "again-0", timeout_s=PATIENCE_S)
    assert receipt.waiting_for == ()
    assert receipt.removed["match"] == {"templates": 1}
    assert receipt.removed["sink-bigquery"]["matches"] == 2
    deployment.await_ready()


def test_a_worker_more_than_partitions_is_a_spare_and_says_so(deployment: Deployment) -> None:
    deployment.await_ready()
    for role in (Role.EMBED, Role.SINK_REDIS):
        deployment.add(role, 1)

    def spares() -> bool:
        reports = [one for one in deployment.reports() if one["spare"]]
        return {(one["role"], one["ready"]) for one in reports} == {("embed", True), ("sink-redis", True)}

    eventually(spares, "two spares are ready", PATIENCE_S)


def test_more_partitions_are_told_and_what_was_read_is_read_on(deployment: Deployment, clients: Clients) -> None:
    name = Topic.FRAMES.named(deployment.settings)
    deployment.admin.create_partitions([NewPartitions(name, PARTITIONS + 1)])[name].result(30)

    def told() -> bool:
        reports = [one for one in deployment.reports() if one["role"] == "embed"]
        return bool(reports) and all(one["ready"] and "more partitions" in (one["problem"] or "") for one in reports)

    eventually(told, "the embed workers tell it", PATIENCE_S)
    upload = clients.producer.enrol("grown", b"grown", subject_id="me", consent=Consent("tests", utc_now()))
    assert clients.answer(upload.event_id)["outcome"] == "enrolled"


def test_an_offset_of_an_earlier_topic_does_not_count() -> None:
    assert is_void(10, CommitMetadata(topic_id="old"), "new", end=1_000), "though the new log is long enough"
    assert not is_void(10, CommitMetadata(topic_id="new"), "new", end=5), "the end may be told late"
    assert not is_void(10, CommitMetadata(), "new", end=10)
    assert is_void(10, CommitMetadata(), "new", end=9)
    assert CommitMetadata.parse(CommitMetadata(text="x", topic_id="new").now()).topic_id == "new"
