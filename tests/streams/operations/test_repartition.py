"""Topics get more partitions: on a real Kafka, with real workers before and after, and a producer that goes on."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import confluent_kafka
import pytest

from infra.services import LocalServices
from schemas import codec
from schemas.clock import utc_now
from schemas.erasure import Erasure
from schemas.ids import new_event_id
from schemas.ingest import Consent
from schemas.learning import Chip
from schemas.results import Enrolment, Match
from sinks.redis import RedisResults
from streams.client.producer import Producer
from streams.kafka import topic_admin
from streams.kafka.connection import admin_client
from streams.kafka.consumer_groups import committed_offsets, group_id
from streams.kafka.log_reader import read_events
from streams.kafka.partitioner import partition_of
from streams.kafka.topics import Topic
from streams.kafka.writer import RecordWriter
from streams.roles import Role
from streams.settings import Settings, variables
from tests.streams.cli.conftest import Ended, environment, run, worker
from tests.waiting import wait_until

USERS = [f"user-{number}" for number in range(8)]
ROLES = (("embed", "--embedder", "digest"), ("match", "--embedder", "digest"), ("sink-redis",), ("sightings",))


class Site:
    """Topics of its own on the shared Kafka."""

    def __init__(self, services: LocalServices, folder: Path, partitions: int) -> None:
        name = f"repartition-{uuid.uuid4().hex[:8]}"
        self.settings = Settings(
            **services.addresses.settings(),
            home=folder,
            topic_prefix=f"{name}.",
            redis_prefix=f"{name}:",
            partitions=partitions,
        )
        topic_admin.create(admin_client(self.settings), self.settings)

    def run(self, *arguments: object) -> Ended:
        return run(arguments, self._environment(), self.settings.home)

    @contextmanager
    def workers(self) -> Iterator[None]:
        with ExitStack() as running:
            for role in ROLES:
                running.enter_context(worker(role, self._environment(), self.settings.home))
            yield

    def _environment(self) -> dict[str, str]:
        return environment(**variables(self.settings.model_dump(mode="json", exclude_unset=True)))

    def all_of(self, topic: Topic, kind: type[Any]) -> list[Any]:
        return [event for _, event in read_events(self.settings, topic, kind)]

    def until_answered(self, count: int, enrolled: int) -> None:
        def done() -> bool:
            return len(self.all_of(Topic.MATCHES, Match)) >= count and (
                len(self.all_of(Topic.ENROLMENTS, Enrolment)) >= enrolled
            )

        wait_until(done, 90)

    def partitions(self) -> dict[str, int]:
        found = admin_client(self.settings).list_topics(timeout=20).topics.items()
        return {name: len(one.partitions) for name, one in found if self.settings.topic_prefix in name}


@pytest.fixture
def site(services: LocalServices, tmp_path: Path) -> Site:
    return Site(services, tmp_path, 2)


def test_users_move_with_their_galleries_and_nothing_is_lost_or_doubled(site: Site) -> None:
    consent = Consent("tests", utc_now(), training=True)
    sent: dict[str, str] = {}

    def frame(producer: Producer, user: str) -> None:
        handle = producer.frame(user, f"face of {user}".encode(), camera_id="door")
        sent[handle.event_id] = user

    with Producer(site.settings, check_format=False) as producer:
        for user in USERS:
            producer.enrol(user, f"face of {user}".encode(), subject_id="self", consent=consent)
            frame(producer, user)
        producer.flush(30)
        with site.workers():
            site.until_answered(len(USERS), len(USERS))
            # What was answered is committed when the workers end.
        for user in USERS[:4]:
            frame(producer, user)
        producer.flush(30)

        dry = site.run("topics", "repartition", "--partitions", 5, "--dry-run", "--json")
        assert dry.code == 0, dry.err
        assert site.partitions().keys() == {one["name"] for one in dry.json["repartitioned"]}
        assert set(site.partitions().values()) == {2}
        done = site.run("topics", "repartition", "--partitions", 5, "--json")
        assert done.code == 0, done.err
        assert "FACESTREAM_PARTITIONS=5" in done.err
        assert set(site.partitions().values()) == {5}
        site.settings = site.settings.model_copy(update={"partitions": 5})
        embedded = committed_offsets(site.settings, group_id(Role.EMBED, site.settings))
        assert sum(n for at, n in embedded.items() if at.topic.endswith("frames")) < len(USERS) + 4

        # This producer may still take it that there are two partitions.
        for user in USERS:
            frame(producer, user)
        producer.flush(30)
        with site.workers():
            site.until_answered(len(sent), len(USERS))
            wait_until(lambda: is_settled(site), 60)

    answers = site.all_of(Topic.MATCHES, Match)
    assert Counter(one.event_id for one in answers) == Counter(list(sent))
    assert {(one.user_id, one.faces[0].subject_id) for one in answers} == {(user, "self") for user in USERS}
    assert Counter(one.user_id for one in site.all_of(Topic.ENROLMENTS, Enrolment)) == Counter(USERS)
    redis = RedisResults(site.settings.redis_url, site.settings.redis_prefix)
    assert all(redis.result(event_id) for event_id in sent)
    redis.close()
    for message, chip in read_events(site.settings, Topic.CHIPS, Chip):
        assert message.source.partition == partition_of(chip.user_id, 5)
    assert site.run("topics", "repartition", "--partitions", 5, "--json").json["repartitioned"] == []


def is_settled(site: Site) -> bool:
    """Whether nothing waits for the roles that run, and every shard has told of its templates."""
    shown = site.run("shards", "--json")
    assert shown.code == 0, shown.err
    roles = [shown.json["roles"][name] for name, *_ in ROLES]
    waits = sum(one["lag_events"] for role in roles for one in role["partitions"])
    return not waits and sum(one["templates"] for one in shown.json["shards"]) == len(USERS)


def commit_none(site: Site, topic: Topic) -> None:
    """As a match worker does that has read nothing yet."""
    options = {"bootstrap.servers": site.settings.kafka, "group.id": group_id(Role.MATCH, site.settings)}
    consumer = confluent_kafka.Consumer(options)
    parts = [confluent_kafka.TopicPartition(topic.named(site.settings), number, 0) for number in range(2)]
    consumer.commit(offsets=parts, asynchronous=False)
    consumer.close()


@pytest.mark.parametrize(
    ("refused", "why"),
    [("fewer", "can only grow"), ("erasure", "1 of {erasures} wait for match")],
    ids=["fewer", "erasure"],
)
def test_what_would_not_survive_it_is_refused(site: Site, refused: str, why: str) -> None:
    if refused == "fewer":
        ended = site.run("topics", "repartition", "--partitions", 1)
    else:
        commit_none(site, Topic.ERASURES)
        erasure = Erasure(new_event_id(), "anna", utc_now())
        RecordWriter(site.settings, Topic.ERASURES).write("anna", codec.encode(erasure))
        ended = site.run("topics", "repartition", "--partitions", 3)
    assert ended.code == 1
    assert why.format(erasures=Topic.ERASURES.named(site.settings)) in ended.err
    assert set(site.partitions().values()) == {2}
