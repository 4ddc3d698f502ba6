"""A whole stack on this machine: services, topics, tables and workers, for `up`, `demo`, `bench` and the tests."""

from __future__ import annotations

import ipaddress
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from infra.death import last_words
from infra.ports import LOOPBACK, ServicePorts, free_ports, is_free
from infra.room import Room
from infra.services import LocalServices
from infra.supervisor import Backoff, ChildFailed
from streams.api_keys.local_key import local_key
from streams.api_keys.secrets import PresentedKey
from streams.homes import ports, targets
from streams.homes.files import write_json
from streams.homes.run import UP_FILE, Run
from streams.kafka.connection import KafkaUnavailable, admin_client
from streams.kafka.consumer_groups import describe_group, group_id
from streams.kafka.topic_admin import TopicChange, create
from streams.kafka_settings import KafkaSettings
from streams.operations.topic_repair import plan, repair
from streams.roles import ANSWERING, Embedder, Role
from streams.settings import RUNNING_FILE, OwnSettings, Settings, variables
from streams.settings_file import PREFIX
from streams.topology import subscribed

_READY_S = 180.0
_DEATHS = 3
_GATEWAY = "gateway"
_BACKGROUND = {Role.SINK_BIGQUERY, Role.DRIFT, Role.RETRAIN, Role.SIGHTINGS, Role.HOOKS}
"""Roles that run at a lower priority: their results may be late, those of the other roles may not."""


class Stack:
    """The services in a folder and their workers; a context manager that stops all of them."""

    def __init__(
        self,
        folder: Path,
        report: Callable[[str], None] = lambda line: None,
        *,
        accept_loss: bool = False,
        room: Room | None = None,
        port_base: int | None = None,
        run: Run | None = None,
        **changes: Any,
    ) -> None:
        """A stack that is not started yet.

        Args:
            folder: for data and logs.
            report: called with each step, as a line of text.
            accept_loss: start also where topics or records are gone that were there.
            room: see :class:`~infra.services.LocalServices`.
            port_base: first port of the home's range, see :mod:`streams.homes.ports`; None: free ports.
            run: what the folder says of this run; None: nothing.
            changes: settings that differ from the environment's.
        """
        self.folder = folder
        self.services = LocalServices(
            folder,
            report,
            stale=[RUNNING_FILE],
            room=room,
            accept_loss=accept_loss,
            ports=None if port_base is None else ServicePorts.after(port_base),
            notes=None if run is None else {UP_FILE: run.text()},
        )
        self._port_base = port_base
        self._accept_loss = accept_loss
        self._changes = changes
        self._report = report
        self._numbers: dict[Role, int] = {}
        self.workers: dict[str, str] = {}
        """Where each worker serves its health and metrics, if that was laid down before its start."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    @contextmanager
    def until_stopped(self) -> Iterator[None]:
        """Stop the stack, which runs already, at the end of a block."""
        try:
            yield
        finally:
            self.stop()

    def start(self) -> Settings:
        """Start the services, create topics, tables and views; return the settings that reach them.

        What has been started is stopped again where the rest fails.
        """
        # How to connect to another cluster, in the environment or the settings file, does not hold for this one.
        found: dict[str, Any] = {name: field.default for name, field in KafkaSettings.model_fields.items()}
        found |= self.services.start().settings()
        try:
            return self._prepare(found)
        except BaseException:
            self.stop()
            raise

    def _prepare(self, found: dict[str, Any]) -> Settings:
        from sinks.bigquery import Address, apply

        if self._port_base is not None:
            found["health_ports"] = ports.of_others(self._port_base)
        if "gateway_port" not in OwnSettings(home=self.folder).model_fields_set:
            found["gateway_port"] = self._gateway_port()
        self.settings: Settings = OwnSettings(**found | {"home": self.folder} | self._changes)
        now = self.settings
        with ThreadPoolExecutor(2) as pool:
            tables = Address(now.bigquery_project, now.bigquery_dataset, now.bigquery_rest, now.bigquery_grpc)
            applied = pool.submit(lambda: apply(tables.rest_client(), tables.dataset_id))
            changes = self._prepare_topics(now)
            applied.result()
        for change in changes:
            if change.did == "created" and "before" in change.detail:
                self._report(f"topic {change.name} was gone and is created anew: what it held is lost")
        return now

    def _prepare_topics(self, now: Settings) -> list[TopicChange]:
        """Create the topics, and recreate those with other partitions, since no worker runs yet."""
        admin = admin_client(now)
        if repairs := plan(admin, now):
            self._report("repairing topics that have other partitions than the rest")
            repair(now, repairs, self._report)
        return create(admin, now, accept_loss=self._accept_loss, own=True)

    def environment(self) -> dict[str, str]:
        """The environment variables with which another process reaches this stack."""
        # Without them a child would have what this process's environment says of another cluster.
        unset = {f"{PREFIX}{name.upper()}": "" for name in KafkaSettings.model_fields}
        return unset | variables(self.settings.model_dump(mode="json", exclude_unset=True))

    def _log_format(self) -> dict[str, str]:
        """The variable that keeps logs for people, in files of the home, unless somebody wants objects."""
        return {"FACESTREAM_LOG_FORMAT": "text"} if self.settings.log_format == "auto" else {}

    def add_worker(self, role: Role, *arguments: str) -> str:
        """Start one more worker of a role, without waiting until it owns partitions; return its name."""
        number = self._numbers.get(role, 0)
        self._numbers[role] = number + 1
        name = f"{role}-{number}"
        self.services.supervisor.start(
            name,
            [sys.executable, "-m", "streams.cli", "worker", role, *arguments],
            log=self.folder.absolute() / "logs" / f"{name}.log",
            env=self.environment() | self._log_format() | self._own_port(role, number, name),
            grace_s=20,
            stage=1,
            restart=Backoff(),
            background=role in _BACKGROUND,
        )
        return name

    def start_gateway(self) -> None:
        """Start the HTTP gateway, without waiting until it serves."""
        targets.write(self.folder, {**self.workers, _GATEWAY: self.gateway.removeprefix("http://")})
        self.services.supervisor.start(
            _GATEWAY,
            [sys.executable, "-m", "streams.cli", "gateway"],
            log=self.folder.absolute() / "logs" / f"{_GATEWAY}.log",
            env=self.environment() | self._log_format(),
            grace_s=25,
            stage=1,
            restart=Backoff(),
        )

    def await_gateway(self, timeout_s: float = _READY_S) -> PresentedKey:
        """Wait until the gateway serves; return a key with which it answers everything.

        Raises:
            ChildFailed: it dies again and again, or the time is over.
        """
        key, deadline = local_key(self.settings, self.folder), time.monotonic() + timeout_s
        while not _is_ready(f"{self.gateway}/readyz"):
            if (death := self.services.supervisor.wait(0.1)) is not None and death.name == _GATEWAY:
                self._report(f"the gateway died: {last_words(death.log_tail)}; see {death.log}")
            if time.monotonic() > deadline:
                raise ChildFailed(f"the gateway does not serve within {timeout_s:g} s: see its log")
        return key

    @property
    def gateway(self) -> str:
        """The address of the HTTP gateway."""
        return f"http://{_reached_at(self.settings.gateway_host)}:{self.settings.gateway_port}"

    def _gateway_port(self) -> int:
        port = None if self._port_base is None else ports.of_gateway(self._port_base)
        if port is not None and is_free(port):
            return port
        (free,) = free_ports(1)
        if port is not None:
            self._report(f"another program has port {port}: the gateway is at {LOOPBACK}:{free} this time")
        return free

    def _own_port(self, role: Role, number: int, name: str) -> dict[str, str]:
        """The variable with the port for a worker's health and metrics, which it has at every start of the stack."""
        roles = list(Role)
        place = roles.index(role) + len(roles) * number
        port = None if self._port_base is None else ports.of_worker(self._port_base, place)
        if port is None:
            return {}
        if not is_free(port):
            taken = port
            (port,) = free_ports(1)
            self._report(f"another program has port {taken}: the metrics of {name} are at {LOOPBACK}:{port} this time")
        self.workers[name] = f"{_reached_at(self.settings.health_host)}:{port}"
        targets.write(self.folder, self.workers)
        return {"FACESTREAM_HEALTH_PORT": str(port)}

    def add_workers(self, embedder: Embedder = Embedder.MODEL, roles: Sequence[Role] = ANSWERING) -> None:
        """Start one worker of each of these roles and wait until all partitions have an owner."""
        self._report("starting workers")
        for role in roles:
            self.add_worker(role, "--embedder", embedder)
        self.await_owners(roles)

    def await_owners(self, roles: Sequence[Role] = ANSWERING, timeout_s: float = _READY_S) -> None:
        """Wait until every partition that these roles read has an owner.

        Raises:
            ChildFailed: a worker or a service dies again and again, or the time is over.
        """
        admin, deadline = admin_client(self.settings), time.monotonic() + timeout_s
        deaths: Counter[str] = Counter()
        for role in roles:
            wanted = set(range(self.settings.partitions))
            topics = [topic.named(self.settings) for topic in subscribed(role, self.settings)]
            while True:
                # A new broker's groups have no coordinator for a moment.
                with suppress(KafkaUnavailable):
                    group = describe_group(admin, group_id(role, self.settings))
                    if group.settled and all(group.owned(topic) == wanted for topic in topics):
                        break
                if (death := self.services.supervisor.wait(0.1)) is not None:
                    deaths[death.name] += 1
                    if deaths[death.name] >= _DEATHS or death.restart_in_s is None:
                        raise ChildFailed(
                            f"{death.name} dies again and again: {last_words(death.log_tail)}; see {death.log}"
                        )
                if time.monotonic() > deadline:
                    raise ChildFailed(f"{role} has not taken its partitions within {timeout_s:g} s")

    def announce(self) -> None:
        """Write the stack's addresses into its folder, for commands that run beside it."""
        values: dict[str, Any] = dict.fromkeys(KafkaSettings.model_fields)
        values |= self.settings.model_dump(mode="json", exclude_unset=True, exclude={"home"})
        write_json(self.folder / RUNNING_FILE, {"settings": values, "workers": self.workers})

    def stop(self) -> None:
        """Stop the workers, each after its batch, then the services."""
        (self.folder / RUNNING_FILE).unlink(missing_ok=True)
        targets.clear(self.folder)
        self.services.stop()


def _is_ready(url: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:
        return bool(answer.status == 200)
    return False


def _reached_at(host: str) -> str:
    """The address at which a server can be asked that listens at this one, which may stand for all of the machine's."""
    with suppress(ValueError):  # a name
        return LOOPBACK if ipaddress.ip_address(host).is_unspecified else host
    return host
