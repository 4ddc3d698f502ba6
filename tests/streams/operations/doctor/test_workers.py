"""What the doctor says of workers is carried out, and what waited for them is processed."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import confluent_kafka
import pytest
from confluent_kafka import TopicPartition

from infra.services import LocalServices
from schemas.codec import encode
from sinks.redis import RedisResults
from streams.dead_letters.records import dead_letter
from streams.kafka.commit_metadata import CommitMetadata
from streams.kafka.consumer_groups import GroupMember
from streams.kafka.messages import Message
from streams.kafka.messages import TopicPartition as Source
from streams.kafka.partition_counts import partition_counts
from streams.kafka.topic_admin import create
from streams.operations.doctor import dead_letters, workers
from streams.operations.doctor.finding import Status
from streams.operations.doctor.remedies import Remedy
from streams.roles import Role
from streams.topology import READS
from tests.sinks.examples import match
from tests.streams.operations.doctor.clusters import Cluster
from tests.streams.operations.doctor.ledger import heals, look
from tests.waiting import wait_until


@pytest.fixture
def cluster(services: LocalServices, tmp_path: Path) -> Cluster:
    cluster = Cluster(services, tmp_path, watchdog_s=2)
    create(cluster.admin, cluster.settings)
    return cluster


def found(cluster: Cluster, **changes: object) -> dict[str, Any]:
    settings = cluster.settings.model_copy(update=changes)
    return look(workers.check(cluster.admin, settings, partition_counts(cluster.admin, settings)))


def names(cluster: Cluster, role: Role) -> list[str]:
    return [topic.named(cluster.settings) for topic in READS[role]]


def joined(cluster: Cluster, running: ExitStack, role: Role, name: str, topics: list[str] | None = None) -> Any:
    """A plain member of a role's group that has its partitions and does nothing with them."""
    consumer = cluster.consumer(role, f"{name}@elsewhere:1")
    stop = threading.Event()
    has = threading.Event()
    consumer.subscribe(topics or names(cluster, role), on_assign=lambda *_: has.set())

    def poll() -> None:
        while not stop.is_set():
            consumer.poll(0.1)
        consumer.close()

    thread = threading.Thread(target=poll)
    thread.start()

    def leave() -> None:
        stop.set()
        thread.join()

    running.callback(leave)
    assert has.wait(90)
    return leave


def send(cluster: Cluster, count: int) -> list[str]:
    """Matches for sink-redis; their ids."""
    producer = confluent_kafka.Producer({"bootstrap.servers": cluster.settings.kafka})
    events = [match() for _ in range(count)]
    for event in events:
        producer.produce(cluster.name("matches"), encode(event), event.user_id.encode(), 0)
    assert producer.flush(30) == 0
    return [event.event_id for event in events]


def answered(cluster: Cluster, ids: list[str]) -> bool:
    results = RedisResults(cluster.settings.redis_url, cluster.settings.redis_prefix)
    return set(results.answers(ids)) == set(ids)


def well(cluster: Cluster) -> bool:
    return found(cluster)["sink-redis workers"].status is Status.OK


@heals(Remedy.START_WORKER)
def test_a_role_without_a_worker(cluster: Cluster) -> None:
    ids = send(cluster, 3)
    said = wait_until(lambda: found(cluster).get("sink-redis workers"), 120)  # a new broker may be slow to tell
    assert said.remedy == "facestream worker sink-redis"
    with cluster.workers(*Role):
        wait_until(lambda: answered(cluster, ids), 120)
        wait_until(
            lambda: all(one.status is Status.OK for name, one in found(cluster).items() if "workers" in name), 120
        )


@heals(Remedy.RESTART_WORKERS)
def test_partitions_that_nobody_has(cluster: Cluster) -> None:
    """A member that reads only one of the topics of its role leaves the other's partitions to nobody."""
    ids = send(cluster, 3)
    with ExitStack() as running:
        leave = joined(cluster, running, Role.SINK_REDIS, "sink-redis-7", [cluster.name("enrolments")])
        wait_until(lambda: "no worker has" in found(cluster)["sink-redis workers"].observed)
        leave()
        with cluster.workers(Role.SINK_REDIS):
            wait_until(lambda: answered(cluster, ids) and well(cluster), 120)


@heals(Remedy.FEWER_WORKERS)
def test_more_workers_than_partitions(cluster: Cluster) -> None:
    with ExitStack() as running:
        for n in range(3):
            leave = joined(cluster, running, Role.SINK_REDIS, f"sink-redis-{n}") if n < 2 else None
        consumer = cluster.consumer(Role.SINK_REDIS, "sink-redis-3@elsewhere:1")
        consumer.subscribe(names(cluster, Role.SINK_REDIS))
        wait_until(lambda: consumer.poll(0.1) or "3 run for 2" in found(cluster)["sink-redis workers"].observed)
        consumer.close()
        wait_until(lambda: "run for" not in found(cluster)["sink-redis workers"].observed)
        assert leave is None


@heals(Remedy.UNSETTLED)
def test_a_worker_that_starts_again_and_again(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_patience", lambda _: 0.5)
    stop = threading.Event()

    def flap() -> None:
        while not stop.is_set():
            consumer = cluster.consumer(Role.SINK_REDIS, "sink-redis-9@elsewhere:1")
            consumer.subscribe(names(cluster, Role.SINK_REDIS))
            consumer.poll(0.3)
            consumer.close()

    with ExitStack() as running:
        joined(cluster, running, Role.SINK_REDIS, "sink-redis-1")
        thread = threading.Thread(target=flap)
        thread.start()
        try:
            wait_until(lambda: "sharing out" in found(cluster)["sink-redis workers"].observed)
        finally:
            stop.set()
            thread.join()
        wait_until(lambda: well(cluster), 120)


@heals(Remedy.RESTART_WORKER, Remedy.SERVICE_FIRST)
def test_commits_that_stopped_while_events_wait(cluster: Cluster) -> None:
    """Of a sink whose service cannot be used that is the reason, and no restart helps."""
    ids = send(cluster, 3)
    with ExitStack() as running:
        consumer = cluster.consumer(Role.SINK_REDIS, "sink-redis-7@elsewhere:1")
        first = TopicPartition(cluster.name("matches"), 0, 0, metadata=CommitMetadata().now())
        consumer.commit(offsets=[first], asynchronous=False)
        consumer.close()
        leave = joined(cluster, running, Role.SINK_REDIS, "sink-redis-7")
        wait_until(lambda: "commits of sink-redis" in found(cluster))
        assert found(cluster)["commits of sink-redis"].remedy == "restart sink-redis-7 on elsewhere"
        away = found(cluster, redis_url="redis://127.0.0.1:1/0")["commits of sink-redis"]
        assert away.remedy is not None
        assert away.remedy.remedy is Remedy.SERVICE_FIRST
        leave()
        with cluster.workers(Role.SINK_REDIS):
            wait_until(lambda: answered(cluster, ids) and well(cluster), 120)
            found(cluster)


@heals(Remedy.ADD_WORKERS)
def test_workers_that_are_late(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_LAG_S", 0.1)
    monkeypatch.setattr(workers, "_stopped", lambda *_: False)
    ids = send(cluster, 3)
    with ExitStack() as running:
        leave = joined(cluster, running, Role.SINK_REDIS, "sink-redis-7")
        wait_until(lambda: "lag of sink-redis" in found(cluster))
        with cluster.workers(Role.SINK_REDIS):
            leave()
            wait_until(lambda: answered(cluster, ids) and "lag of sink-redis" not in found(cluster), 120)


@heals(Remedy.RESTART_PROCESS, Remedy.WORKER_LOG, Remedy.HEALTH_ADDRESS, Remedy.MODEL_OF_WORKER)
def test_what_a_worker_says_of_itself(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    member = GroupMember("m", "embed-0@127.0.0.1:1", "/127.0.0.1", frozenset())
    report = {"alive": True, "ready": True, "up_s": 600.0, "problem": None, "pid": 7, "standbys": [], "ahead_s": 0.0}
    report |= {"uncertain_s": 0.0, "models": {"failed": {}}}
    said: list[dict[str, Any] | None] = []
    monkeypatch.setattr(workers, "health_of", lambda *_: said[-1])

    def health() -> dict[str, Any]:
        return look(workers._members([member], cluster.settings))

    said.append(None)
    assert "FACESTREAM_HEALTH_HOST" in health()["health of embed-0"].remedy
    said.append(report | {"alive": False, "problem": "the event loop has not turned for 40 s"})
    assert health()["health of embed-0"].remedy == "restart it (process 7)"
    said.append(report | {"ready": False})
    assert health()["health of embed-0"].status is Status.WARN
    said.append(report | {"models": {"failed": {"v2": "no folder"}}})
    assert health()["model versions of embed-0"].status is Status.FAIL
    said.append(report)
    assert health()["health of embed-0"].status is Status.OK


@heals(Remedy.DEAD_LETTERS)
def test_dead_letters_are_sent_back(cluster: Cluster) -> None:
    producer = confluent_kafka.Producer({"bootstrap.servers": cluster.settings.kafka})
    for offset in range(3):
        message = Message(Source(cluster.name("frames"), 0), offset, 0, b"anna", b"rubbish", ())
        producer.produce(
            cluster.name("dead-letters"), encode(dead_letter(message, "embed", ValueError("no"))), partition=0
        )
    assert producer.flush(20) == 0
    said = look(dead_letters.check(cluster.settings))["dead letters"]
    assert said.status is Status.WARN
    ended = cluster.run("replay", "dead-letters", "--json")
    assert ended.code == 0, ended.err
    assert look(dead_letters.check(cluster.settings))["dead letters"].status is Status.OK
    frames = [TopicPartition(cluster.name("frames"), n) for n in range(2)]
    consumer = cluster.consumer(Role.DRIFT, "reader@here:1")
    assert sum(consumer.get_watermark_offsets(one, timeout=20)[1] for one in frames) == 3
    consumer.close()
