"""Topics, tables and workers that a test of the doctor may spoil, on the services that all tests share."""

from __future__ import annotations

import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import confluent_kafka
from confluent_kafka.admin import AdminClient

from infra.services import LocalServices
from streams.kafka.consumer_groups import group_id
from streams.operations.doctor.finding import Finding
from streams.operations.doctor.run import examine
from streams.roles import Role
from streams.settings import Settings
from tests.streams.cli.conftest import Ended, command, environment, run
from tests.streams.operations.doctor.ledger import look
from tests.waiting import pause_s


class Cluster:
    """Topics, tables and groups of its own on the shared services, and commands on them."""

    def __init__(self, services: LocalServices, folder: Path, **changes: Any) -> None:
        name = f"doctor-{uuid.uuid4().hex[:8]}"
        own: dict[str, Any] = {
            "home": folder,
            "topic_prefix": f"{name}.",
            "redis_prefix": f"{name}:",
            "bigquery_dataset": name.replace("-", "_"),
            "partitions": 2,
        }
        self.settings = Settings(**services.addresses.settings() | own | changes)
        self.admin = AdminClient({"bootstrap.servers": self.settings.kafka})
        values = self.settings.model_dump(mode="json", exclude_unset=True)
        self.variables = environment(**{f"FACESTREAM_{name.upper()}": str(value) for name, value in values.items()})
        self._folder = folder

    def run(self, *arguments: str, **variables: str) -> Ended:
        """Run a command."""
        return run(arguments, self.variables | variables, self._folder)

    def doctor(self, **changes: object) -> dict[str, Finding]:
        """What the doctor finds, by the names of the checks; of several with one name one that is not well."""
        return look(examine(self.settings.model_copy(update=changes), load_model=False))

    def name(self, topic: str) -> str:
        return f"{self.settings.topic_prefix}{topic}"

    def consumer(self, role: Role, client_id: str) -> confluent_kafka.Consumer:
        """A plain member of a role's group."""
        return confluent_kafka.Consumer(
            {
                "bootstrap.servers": self.settings.kafka,
                "group.id": group_id(role, self.settings),
                "client.id": client_id,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
            }
        )

    @contextmanager
    def workers(self, *roles: Role) -> Iterator[dict[Role, subprocess.Popen[bytes]]]:
        with ExitStack() as running:
            started = {}
            for role in roles:
                log = running.enter_context((self._folder / f"{role}.log").open("w"))
                arguments = command("worker", role, "--embedder", "digest")
                process = subprocess.Popen(arguments, env=self.variables, stdout=log, stderr=log)
                running.callback(end, process)
                started[role] = process
            yield started


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()


def until(cluster: Cluster, so: Callable[[dict[str, Finding]], bool]) -> dict[str, Finding]:
    deadline = (asked_at := time.monotonic()) + 90
    while not so(found := cluster.doctor()):
        assert time.monotonic() < deadline, found
        time.sleep(pause_s(asked_at))
        asked_at = time.monotonic()
    return found
