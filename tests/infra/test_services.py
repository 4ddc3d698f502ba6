from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import redis
import tenacity
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from infra import bigquery as bigquery_server
from infra import kafka
from infra import redis as redis_server
from infra import services as services_module
from infra.kafka import MESSAGE_BYTES
from infra.ports import free_ports, is_free
from infra.services import Addresses, FolderInUse, LocalServices
from infra.supervisor import ChildFailed

SCRIPT = """
import sys, time
from pathlib import Path
from infra.services import LocalServices
with LocalServices(Path(sys.argv[1])) as services:
    print(services.addresses.settings(), flush=True)
    time.sleep(600)
"""


def write(at: Addresses, topic: str, value: bytes) -> None:
    admin = AdminClient({"bootstrap.servers": at.kafka})
    if topic not in admin.list_topics(timeout=10).topics:
        for created in admin.create_topics([NewTopic(topic, 1, 1)]).values():
            created.result(20)
    producer = Producer(
        {"bootstrap.servers": at.kafka, "enable.idempotence": True, "message.max.bytes": MESSAGE_BYTES, "log_level": 0}
    )
    failures: list[object] = []
    producer.produce(topic, value, on_delivery=lambda error, _: failures.append(error) if error else None)
    assert producer.flush(30) == 0
    assert not failures
    with redis.Redis.from_url(at.redis_url) as client:
        client.rpush(topic, value[:100])
    with _bigquery(at) as warehouse:
        warehouse.create_dataset(topic, exists_ok=True)
        warehouse.query_and_wait(f"CREATE TABLE IF NOT EXISTS {topic}.sizes (size INT64)")
        warehouse.query_and_wait(f"INSERT INTO {topic}.sizes VALUES ({len(value)})")


def read(at: Addresses, topic: str) -> tuple[list[bytes | None], list[bytes], list[int]]:
    """All values in Kafka, Redis and BigQuery."""
    consumer = Consumer({"bootstrap.servers": at.kafka, "group.id": "reader", "log_level": 0})
    partition = TopicPartition(topic, 0, 0)
    # A broker that has just started answers before it leads its partitions.
    leads = tenacity.retry(
        retry=tenacity.retry_if_exception_type(KafkaException),
        stop=tenacity.stop_after_delay(60),
        wait=tenacity.wait_fixed(0.2),
    )
    _, end = leads(consumer.get_watermark_offsets)(partition, timeout=20)
    consumer.assign([partition])
    values = [message.value() for message in consumer.consume(end, 20)]
    consumer.close()
    with redis.Redis.from_url(at.redis_url) as client:
        prefixes = client.lrange(topic, 0, -1)
    with _bigquery(at) as warehouse:
        sizes = [row.size for row in warehouse.query_and_wait(f"SELECT size FROM {topic}.sizes ORDER BY size")]
    return values, prefixes, sizes


@contextlib.contextmanager
def _bigquery(at: Addresses) -> Iterator[bigquery.Client]:
    client = bigquery.Client(
        project=at.bigquery_project,
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": at.bigquery_rest},
    )
    try:
        yield client
    finally:
        client.close()  # type: ignore[no-untyped-call]


def test_all_three_serve_and_take_pictures(services: LocalServices) -> None:
    picture = os.urandom(11_000_000)
    write(services.addresses, "serve", picture)
    assert read(services.addresses, "serve") == ([picture], [picture[:100]], [len(picture)])


def test_nothing_listens_beyond_the_loopback_interface(services: LocalServices) -> None:
    listening: dict[str, set[int]] = {}
    for name, pid in services.supervisor.running().items():
        for connection in psutil.Process(pid).net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                assert connection.laddr.ip.removeprefix("::ffff:") == "127.0.0.1", name
                listening.setdefault(name, set()).add(connection.laddr.port)
    assert {name: len(ports) for name, ports in listening.items()} == {"kafka": 2, "redis": 1, "bigquery": 2}


def test_environment_is_what_the_settings_read(services: LocalServices, monkeypatch: pytest.MonkeyPatch) -> None:
    from streams.settings import Settings

    for name, value in services.addresses.environment().items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert {name: getattr(settings, name) for name in services.addresses.settings()} == services.addresses.settings()


def test_life_in_one_folder(services: LocalServices, tmp_path: Path) -> None:
    """Beside the shared set: killed and started again, stopped and started again, killed with its parent."""
    folder = tmp_path / "Müller, a's\\b #1"
    reports: list[str] = []
    with LocalServices(folder, reports.append) as beside:
        at = beside.addresses
        assert set(at.settings().values()) & set(services.addresses.settings().values()) == {at.bigquery_project}
        write(at, "life", b"one")

        with pytest.raises(FolderInUse, match=rf"#1 is in use by the process {os.getpid()}\b"):
            LocalServices(folder).start()

        for name in ("kafka", "redis", "bigquery"):
            beside.supervisor.kill(name)
            beside.supervisor.restart(name)
        assert read(at, "life") == ([b"one"], [b"one"], [3])
        write(at, "life", b"three")

        for name in ("kafka", "redis"):
            os.kill(beside.supervisor.running()[name], signal.SIGKILL)
            death = beside.supervisor.wait(20)
            assert str(death) == f"{name} died (signal 9); it starts again in 0.5 s"
            assert str(death) in reports
        until(lambda: kafka.answers(at.kafka) and redis_server.answers(at.redis_url))
        assert read(at, "life") == ([b"one", b"three"], [b"one", b"three"], [3, 5])
        pids = beside.supervisor.running().values()
    assert not any(psutil.pid_exists(pid) for pid in pids)

    with subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline()
        children = psutil.Process(parent.pid).children(recursive=True)
        assert len(children) == 3
        parent.kill()
    gone, left = psutil.wait_procs(children, timeout=20)
    assert len(gone) == 3 and not left

    name_data_as_earlier_versions_did(folder / "bigquery" / "data")
    folder = folder.rename(tmp_path / "moved")
    with LocalServices(folder) as again:
        assert read(again.addresses, "life") == ([b"one", b"three"], [b"one", b"three"], [3, 5])


def name_data_as_earlier_versions_did(data: Path) -> None:
    """Have the catalogue name the absolute path of the data."""
    code = """
import sys, duckdb
with duckdb.connect(sys.argv[1] + ".ducklake") as catalogue:
    change = "UPDATE ducklake_metadata SET value = ? WHERE key = 'data_path'"
    [changed] = catalogue.execute(change, [sys.argv[1] + "/"]).fetchone()
    assert changed == 1
"""
    python = bigquery_server.ENVIRONMENT / "bin" / "python"
    subprocess.run([str(python), "-c", code, str(data / bigquery_server.PROJECT)], check=True)


def until(condition: Callable[[], bool], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        with contextlib.suppress(redis.RedisError, KafkaException):
            if condition():
                return
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.1)


def test_a_port_that_is_taken_meanwhile_is_replaced(
    services: LocalServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = services.addresses  # it is about the port of Redis; the other two need no second start
    monkeypatch.setattr("infra.kafka.start", lambda *_: at.kafka)
    monkeypatch.setattr("infra.bigquery.start", lambda *_: (at.bigquery_rest, at.bigquery_grpc))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        choices = [[taken.getsockname()[1]]]

        def first_the_taken_one(count: int) -> list[int]:
            return choices.pop() if choices and count == 1 else free_ports(count)

        monkeypatch.setattr(services_module, "free_ports", first_the_taken_one)
        with LocalServices(tmp_path) as beside:
            assert not choices
            with redis.Redis.from_url(beside.addresses.redis_url) as client:
                assert client.ping()


def test_a_service_that_cannot_start_stops_the_others(tmp_path: Path) -> None:
    (tmp_path / "redis" / "appendonlydir").mkdir(parents=True)
    (tmp_path / "redis" / "appendonlydir" / "appendonly.aof.manifest").write_text("not a manifest\n")
    services = LocalServices(tmp_path)
    with pytest.raises(ChildFailed, match=r"redis ended with 1 while it started(.|\n)*manifest"):
        services.start()
    assert not services.supervisor.running()
    assert json.loads((tmp_path / "children.json").read_text()) == {}
    # The folder is free again.
    (tmp_path / "redis" / "appendonlydir" / "appendonly.aof.manifest").unlink()
    with services:
        assert len(services.supervisor.running()) == 3


def test_ctrl_c_while_starting_leaves_nothing(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as parent:
        deadline = time.monotonic() + 30
        while not (children := psutil.Process(parent.pid).children(recursive=True)):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        parent.send_signal(signal.SIGINT)
        out, err = parent.communicate(timeout=30)
        assert not out and "KeyboardInterrupt" in err
        assert not psutil.wait_procs(children, timeout=5)[1]


def test_free_ports_are_different_and_free() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    with socket.create_server(("127.0.0.1", ports[0])):
        assert not is_free(ports[0])
    assert all(is_free(port) for port in ports)
