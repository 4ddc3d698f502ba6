"""What a worker tells of itself, and that one that hangs says so and ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import confluent_kafka
import pytest
from aiokafka.errors import KafkaTimeoutError

from infra.services import LocalServices
from sinks.base import SinkUnavailable
from streams.kafka.connection import admin_client
from streams.kafka.consumer_groups import GroupMember, describe_group, group_id
from streams.kafka.messages import TopicPartition
from streams.kafka.topic_admin import create
from streams.kafka.topics import Topic
from streams.kafka.unreadable import UnreadableBatch
from streams.observability.faults import Fault, LocalTableFailed
from streams.observability.health_endpoint import HealthPortTaken
from streams.observability.health_server import HealthServer, _lag_s
from streams.observability.heartbeat import ConsumerStatus, PartitionLog, WorkerHeartbeat
from streams.observability.metrics import STEPS_OF
from streams.observability.watchdog import EXIT_CODE, PATIENCE, HangDetector
from streams.roles import Role
from streams.settings import Settings
from tests.streams.cli.conftest import command, environment

LIMIT_S = 4.0
FRAMES_0 = TopicPartition("frames", 0)
TINY_WORKER = Path(__file__).parent / "tiny_worker.py"


class Clock:
    """The time by which a pulse and its judge are driven."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("streams.observability.heartbeat.time.monotonic", lambda: self.now)


class Patient:
    """A worker of which a test tells what it does, and a judge with a limit of 10 seconds."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.heartbeat = WorkerHeartbeat("embed")
        self.judge = HangDetector(self.heartbeat, 10.0)
        self.facts = ConsumerStatus(ready=True, assigned=frozenset({FRAMES_0}), recovered=0, may_starve=True)
        self.logs: dict[TopicPartition, PartitionLog] | None = {FRAMES_0: PartitionLog(end=5, committed=5)}

    def for_seconds(self, seconds: float, *, act: Callable[[], None] = lambda: None) -> str | None:
        """Let time go by, looked at every second, with something done in each; what hangs at the end."""
        for _ in range(round(seconds)):
            self.clock.now += 1.0
            act()
            symptom = self.judge.worst(self.clock.now, self.facts, self.logs)
        return symptom.what if symptom is not None and symptom.share > 1 else None

    def lives(self) -> None:
        self.heartbeat.loop_turned()
        if self.heartbeat.busy_since is None:
            self.heartbeat.turned()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> Patient:
    return Patient(Clock(monkeypatch))


def test_a_worker_with_nothing_to_do_is_well(patient: Patient) -> None:
    assert patient.for_seconds(1000, act=patient.lives) is None


def test_an_event_loop_that_stands_hangs_even_without_kafka(patient: Patient) -> None:
    patient.lives()
    patient.logs = None
    assert patient.for_seconds(10) is None
    assert patient.for_seconds(1) == "the event loop has not turned"


def test_a_long_batch_is_work_and_an_endless_one_hangs(patient: Patient) -> None:
    patient.heartbeat.begins()
    assert patient.for_seconds(10 * PATIENCE, act=patient.lives) is None
    assert patient.for_seconds(2, act=patient.lives) == "a batch has been in hand"


def test_a_batch_that_fails_again_and_again_though_kafka_answers_hangs(patient: Patient) -> None:
    def attempt() -> None:
        patient.lives()
        patient.heartbeat.failed(Fault.SERVICE, KafkaTimeoutError("no leader"))

    patient.heartbeat.begins()
    patient.logs = None
    assert patient.for_seconds(1000, act=attempt) is None, "it waits for Kafka"
    patient.logs = {}
    assert patient.for_seconds(10 * PATIENCE, act=attempt) is None
    assert "a batch" in (patient.for_seconds(2, act=attempt) or "")


@pytest.mark.parametrize(
    ("waits_s", "done_s_ago", "lag_s"),
    [(None, 100, 0.0), (30, None, 30.0), (30, 5, 5.0), (3, 100, 3.0), (30, -5, 0.0)],
)
def test_no_message_waits_longer_than_the_lag_in_seconds(
    waits_s: float | None, done_s_ago: float | None, lag_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.observability.health_server.time.time", lambda: 1000.0)
    done_to_ms = None if done_s_ago is None else round(1000 * (1000 - done_s_ago))
    assert _lag_s(waits_s, done_to_ms) == lag_s


def test_a_broken_disk_is_left_soon(patient: Patient) -> None:
    def attempt() -> None:
        patient.lives()
        patient.heartbeat.failed(Fault.MACHINE, LocalTableFailed("no space left"))

    patient.heartbeat.begins()
    symptom = patient.for_seconds(12, act=attempt)
    assert symptom == "a batch fails and is tried again (LocalTableFailed: no space left)"


def test_progress_within_a_batch_that_is_taken_apart_counts(patient: Patient) -> None:
    def one_message() -> None:
        patient.heartbeat.begins()
        patient.heartbeat.failed(Fault.MESSAGE, ValueError("no good"))
        patient.lives()
        patient.heartbeat.succeeded()

    assert patient.for_seconds(1000, act=one_message) is None


def test_a_sink_waits_for_its_service_for_days(patient: Patient) -> None:
    patient.facts = ConsumerStatus(ready=True, assigned=frozenset({FRAMES_0}))

    def attempt() -> None:
        patient.heartbeat.begins()
        patient.heartbeat.failed("writing 3 events", SinkUnavailable("Redis: ConnectionError"))
        patient.heartbeat.ended()
        patient.heartbeat.begins()

    assert patient.for_seconds(100_000, act=attempt) is None
    waiting = patient.heartbeat.waiting
    assert waiting is not None
    assert patient.clock.now - waiting.since == 99_999
    assert (waiting.what, waiting.error) == ("writing 3 events", "SinkUnavailable: Redis: ConnectionError")


def test_a_stage_that_asks_for_nothing_hangs(patient: Patient) -> None:
    patient.heartbeat.turned()
    assert patient.for_seconds(12, act=patient.heartbeat.loop_turned) == "no batch has been asked for"


def test_commits_that_stopped_though_processing_goes_on(patient: Patient) -> None:
    def process() -> None:
        patient.lives()
        patient.heartbeat.processed(3)

    assert patient.for_seconds(10, act=process) is None
    assert patient.for_seconds(2, act=process) == "processing goes on, but nothing has been committed"
    patient.heartbeat.committed([FRAMES_0], all_of_it=True)
    assert patient.for_seconds(5, act=process) is None


def test_work_that_waits_for_its_commit_is_no_reason_once_processing_has_ended(patient: Patient) -> None:
    patient.heartbeat.processed(3)
    assert patient.for_seconds(1000, act=patient.lives) is None


def test_a_partition_that_grows_and_gives_nothing(patient: Patient) -> None:
    patient.logs = {FRAMES_0: PartitionLog(end=7, committed=5)}
    assert patient.for_seconds(10, act=patient.lives) is None
    assert patient.for_seconds(2, act=patient.lives) == "frames/0 has messages, but none was fetched"
    patient.heartbeat.arrived(FRAMES_0, 6)
    assert patient.for_seconds(100, act=patient.lives) is None


def test_a_partition_that_is_held_back_or_not_ours_is_no_reason(patient: Patient) -> None:
    patient.logs = {FRAMES_0: PartitionLog(end=7, committed=5)}
    patient.heartbeat.held = {FRAMES_0}
    assert patient.for_seconds(100, act=patient.lives) is None
    patient.heartbeat.held = frozenset()
    patient.facts = ConsumerStatus(ready=True, assigned=frozenset(), may_starve=True)
    assert patient.for_seconds(100, act=patient.lives) is None


def test_what_cannot_be_read_is_no_reason_nor_is_an_open_transaction(patient: Patient) -> None:
    patient.logs = {FRAMES_0: PartitionLog(end=5, committed=5, appended=9)}
    assert patient.for_seconds(1000, act=patient.lives) is None
    patient.logs = {FRAMES_0: PartitionLog(end=7, committed=5)}
    patient.heartbeat.unreadable[FRAMES_0] = UnreadableBatch(FRAMES_0, 5, 6, "its checksum is wrong")
    assert patient.for_seconds(1000, act=patient.lives) is None
    patient.facts = ConsumerStatus(ready=False, assigned=frozenset({FRAMES_0}), recovered=3)
    assert patient.for_seconds(1000, act=patient.lives) is None
    patient.heartbeat.unreadable.clear()
    assert patient.for_seconds(1000, act=patient.lives) == "taking over partitions has made no progress"


def test_taking_over_partitions_may_last_while_the_tables_grow(patient: Patient) -> None:
    recovered = iter(range(10_000))

    def recover() -> None:
        patient.lives()
        patient.facts = ConsumerStatus(ready=False, assigned=frozenset({FRAMES_0}), recovered=next(recovered))

    assert patient.for_seconds(200, act=recover) is None
    assert patient.for_seconds(10 * PATIENCE + 2, act=patient.lives) == "taking over partitions has made no progress"


def test_time_without_kafka_does_not_count_not_even_later(patient: Patient) -> None:
    patient.heartbeat.begins()
    patient.for_seconds(10 * PATIENCE - 1, act=patient.lives)
    logs, patient.logs = patient.logs, None
    assert patient.for_seconds(1000, act=patient.lives) is None
    patient.logs = logs
    assert patient.for_seconds(10 * PATIENCE, act=patient.lives) is None
    assert patient.for_seconds(2, act=patient.lives) == "a batch has been in hand"


def test_a_port_that_is_taken_is_said(services: LocalServices) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        settings = Settings(**services.addresses.settings(), health_port=other.getsockname()[1])
        with pytest.raises(HealthPortTaken, match="FACESTREAM_HEALTH_PORT"):
            HealthServer(Role.EMBED, "embed-0", settings)


@pytest.fixture
def settings(services: LocalServices, tmp_path: Path) -> Settings:
    """Topics of its own, and workers whose end comes quickly."""
    made = Settings(
        **services.addresses.settings(),
        home=tmp_path,
        topic_prefix=f"health-{uuid.uuid4().hex[:8]}.",
        partitions=2,
        watchdog_s=LIMIT_S,
    )
    create(admin_client(made), made)
    return made


@contextmanager
def process(settings: Settings, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    values = settings.model_dump(mode="json", exclude_unset=True)
    variables = {f"FACESTREAM_{name.upper()}": str(value) for name, value in values.items()}
    log = settings.home / f"{uuid.uuid4().hex}.log"
    with log.open("w") as output:
        running = subprocess.Popen(arguments, env=environment(**variables), stdout=output, stderr=output, text=True)
    try:
        yield running
    except BaseException:
        print(log.read_text())
        raise
    finally:
        if running.poll() is None:
            running.kill()
            running.wait(10)


def the_member(settings: Settings, role: Role) -> GroupMember:
    """The one worker of a role, as soon as it has both partitions."""
    admin, deadline = admin_client(settings), time.monotonic() + 60
    while time.monotonic() < deadline:
        members = describe_group(admin, group_id(role, settings)).members
        if len(members) == 1 and len({one.partition for one in members[0].partitions}) == 2:
            return members[0]
        time.sleep(0.1)
    raise AssertionError(f"no worker {role} has the partitions")


def ask(member: GroupMember, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{member.health_port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def until(member: GroupMember, path: str, wanted: int) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        status, text = ask(member, path)
        if status == wanted:
            report: dict[str, Any] = json.loads(text)
            return report
        time.sleep(0.05)
    raise AssertionError(f"{path} has not answered {wanted}: {status} {text}")


def produce(settings: Settings, topic: Topic, values: int) -> None:
    producer = confluent_kafka.Producer({"bootstrap.servers": settings.kafka})
    for number in range(values):
        producer.produce(topic.named(settings), b"rubbish", key=b"anna", partition=number % 2)
    assert producer.flush(20) == 0


def test_a_worker_that_hangs_says_so_and_ends(settings: Settings) -> None:
    with process(settings, sys.executable, str(TINY_WORKER), "block") as running:
        member = the_member(settings, Role.EMBED)
        assert member.name == "tiny"
        report = until(member, "/readyz", 200)
        assert (report["pid"], report["problem"]) == (running.pid, None)
        produce(settings, Topic.FRAMES, 2)
        report = until(member, "/healthz", 503)
        assert not report["alive"]
        assert "the event loop has not turned" in report["problem"]
        assert running.wait(3 * LIMIT_S) == EXIT_CODE
    said = "".join(path.read_text() for path in settings.home.glob("*.log"))
    assert f"this worker hangs and ends itself (exit code {EXIT_CODE}): the event loop has not turned" in said
    assert "in process" in said, "where it hangs is not shown"


def test_the_marks_of_a_transaction_are_no_messages_that_do_not_come(settings: Settings) -> None:
    producer = confluent_kafka.Producer({"bootstrap.servers": settings.kafka, "transactional.id": uuid.uuid4().hex})
    producer.init_transactions(30)
    with process(settings, sys.executable, str(TINY_WORKER), "work") as running:
        member = the_member(settings, Role.EMBED)
        until(member, "/readyz", 200)
        producer.begin_transaction()
        producer.produce(Topic.FRAMES.named(settings), b"rubbish", key=b"anna", partition=0)
        producer.commit_transaction(30)
        deadline = time.monotonic() + 2 * LIMIT_S
        while time.monotonic() < deadline:
            assert running.poll() is None
            assert ask(member, "/healthz")[0] == 200
            time.sleep(0.2)
        report = json.loads(ask(member, "/healthz")[1])
        assert {one["lag"] for one in report["partitions"]} == {0}
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == 0


def test_a_process_that_was_suspended_is_not_one_that_hangs(settings: Settings) -> None:
    with process(settings, sys.executable, str(TINY_WORKER), "work") as running:
        member = the_member(settings, Role.EMBED)
        until(member, "/readyz", 200)
        os.kill(running.pid, signal.SIGSTOP)
        time.sleep(1.5 * LIMIT_S)
        os.kill(running.pid, signal.SIGCONT)
        assert until(member, "/readyz", 200)["pid"] == running.pid
        with pytest.raises(subprocess.TimeoutExpired):
            running.wait(LIMIT_S)


@pytest.mark.parametrize(
    ("role", "wanted"),
    [
        (Role.MATCH, {"wait", "deliver"}),
        (Role.SINK_REDIS, {"wait"}),
    ],
)
def test_what_a_worker_tells(settings: Settings, role: Role, wanted: set[str]) -> None:
    topic = {Role.MATCH: Topic.EMBEDDINGS, Role.SINK_REDIS: Topic.MATCHES}[role]
    with process(settings, *command("worker", role)) as running:
        member = the_member(settings, role)
        assert member.name == {Role.MATCH: "match-0"}.get(role, f"{role}-{running.pid}")
        assert member.machine == socket.gethostname()
        until(member, "/readyz", 200)
        produce(settings, topic, 10)
        done = f'facestream_events_total{{role="{role}"}} 10.0'
        deadline = time.monotonic() + 30
        while done not in ask(member, "/metrics")[1]:
            assert time.monotonic() < deadline, ask(member, "/metrics")[1]
            time.sleep(0.1)
        report = until(member, "/healthz", 200)
        while any(one["lag"] != 0 for one in report["partitions"]):
            assert time.monotonic() < deadline, report
            time.sleep(0.1)
            report = until(member, "/healthz", 200)
        metrics = ask(member, "/metrics")[1]
        assert ask(member, "/nothing")[0] == 404
    assert report["role"] == role
    assert {one["partition"] for one in report["partitions"]} == {0, 1}
    assert report["alive"] and report["ready"] and report["kafka_answers"]
    assert f'facestream_dead_letters_total{{reason="not_an_event",role="{role}"}} 10.0' in metrics
    assert f'facestream_lag_events{{partition="1",role="{role}",topic="{topic.named(settings)}"}}' in metrics
    steps = set(re.findall(r"^# TYPE facestream_(\w+)_seconds histogram$", metrics, re.MULTILINE))
    assert wanted <= steps == set(STEPS_OF[role]), "a worker shows its own steps only"
    for step in steps:
        assert f'facestream_{step}_seconds_count{{role="{role}"}}' in metrics
