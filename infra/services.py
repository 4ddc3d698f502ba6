"""Runs Kafka, Redis and BigQuery on this machine, for ``facestream up`` and for the tests."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from filelock import FileLock, Timeout

from infra import bigquery, kafka, redis
from infra.kafka_data import Kept
from infra.leftovers import end_leftovers
from infra.ports import LOOPBACK, ServicePorts, free_ports, is_free
from infra.room import Room
from infra.supervisor import ChildFailed, Stopped, Supervisor

PORT_TRIES = 5
_KEEP_S = 10.0

T = TypeVar("T")


class FolderInUse(Exception):
    """Another process runs services in this folder."""


@dataclass(frozen=True)
class Addresses:
    """The addresses of the services; the fields have the names of the settings."""

    kafka: str
    redis_url: str
    bigquery_rest: str
    bigquery_grpc: str
    bigquery_project: str

    def settings(self) -> dict[str, str]:
        """The settings to reach the services."""
        return asdict(self)

    def environment(self) -> dict[str, str]:
        """The same as ``FACESTREAM_*`` variables."""
        return {f"FACESTREAM_{name.upper()}": value for name, value in self.settings().items()}


class LocalServices:
    """The three services, with data and logs in one folder, on ports of the loopback interface.

    As a context manager it starts and stops them, and stops everything else that its supervisor runs::

        with LocalServices(Path(".facestream"), print) as services:
            worker = [sys.executable, "-m", "streams.cli", "worker", "embed"]
            services.supervisor.start(
                "embed", worker, log=services.folder / "embed.log",
                env=services.addresses.environment(), stage=1, restart=Backoff(),
            )
            death = services.supervisor.wait(timeout_s=1)

    The data survive a stop and a start in the same folder; the ports do if they are given. Children named ``kafka``,
    ``redis`` and ``bigquery`` may be killed, stopped and started again by the supervisor: their ports stay.
    """

    def __init__(
        self,
        folder: Path,
        report: Callable[[str], None] | None = None,
        *,
        stale: Sequence[str] = (),
        room: Room | None = None,
        accept_loss: bool = False,
        ports: ServicePorts | None = None,
        notes: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare the services of a folder; they are not started yet.

        Args:
            folder: for data and logs.
            report: called with a line about each event.
            stale: files in the folder that belong to an earlier run; they are deleted when the folder is taken.
            room: the limits of room on the disk; default: the usual ones for the folder.
            accept_loss: start even if records have disappeared from the folder.
            ports: the ports that the services should have; default: free ones.
            notes: names and texts of files that are in the folder while this process has it.
        """
        self.folder = folder.absolute()
        self._stale = stale
        self._room = room or Room.of(self.folder)
        self._accept_loss = accept_loss
        self._ports = ports
        self._notes = notes or {}
        self._keeper: threading.Thread | None = None
        self._stopping = threading.Event()
        self._report = report or (lambda line: None)
        self._lock = FileLock(self.folder / "lock", blocking=False)
        self._supervisor: Supervisor | None = None
        self._addresses: Addresses | None = None

    @property
    def supervisor(self) -> Supervisor:
        """Runs the services; workers started there with ``stage=1`` are stopped before them."""
        if self._supervisor is None:
            raise RuntimeError("the services have not been started")
        return self._supervisor

    @property
    def addresses(self) -> Addresses:
        """The addresses of the services."""
        if self._addresses is None:
            raise RuntimeError("the services have not been started")
        return self._addresses

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self) -> Addresses:
        """Start the services together and wait until all serve.

        Raises:
            FolderInUse: another process runs services in the folder; the message names it.
            ChildFailed: a service did not start; the message has the end of its log. The others have been stopped.
            infra.jars.JarUnavailable: Kafka could not be downloaded.
        """
        self._take_folder()
        try:
            if ended := end_leftovers(self.folder / "children.json"):
                self._report(f"ended {len(ended)} processes that an earlier run had left")
            self._supervisor = Supervisor(self._report, self.folder / "children.json", self._room)
            self._supervisor.await_room("everything")
            if self._accept_loss:
                Kept(self.folder / "kafka" / "data").accept_loss(self._report)
            self._addresses = self._start_all(self._supervisor)
            self._stopping.clear()
            self._keeper = threading.Thread(target=self._keep, name="keeper of Kafka's metadata", daemon=True)
            self._keeper.start()
        except BaseException:
            self.stop()
            raise
        return self._addresses

    def stop(self) -> None:
        """Stop everything that the supervisor runs, the services last; do nothing if nothing runs."""
        self._stopping.set()
        if self._keeper is not None:
            self._keeper.join()
            self._keeper = None
        if self._supervisor is not None:
            self._supervisor.close()
            if self._addresses is not None:
                Kept(self.folder / "kafka" / "data").take()
        if self._lock.is_locked:
            for name in self._notes:
                (self.folder / name).unlink(missing_ok=True)
        self._lock.release()

    def _keep(self) -> None:
        """Update the copy of Kafka's metadata regularly while Kafka runs."""
        kept = Kept(self.folder / "kafka" / "data")
        while not self._stopping.wait(_KEEP_S):
            if "kafka" in self.supervisor.running():
                kept.take()

    def _take_folder(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        owner = self.folder / "pid"
        try:
            self._lock.acquire()
        except Timeout:
            pid = owner.read_text("utf-8").strip() if owner.exists() else "unknown"
            raise FolderInUse(f"{self.folder} is in use by the process {pid}") from None
        for name in self._stale:
            (self.folder / name).unlink(missing_ok=True)
        owner.write_text(f"{os.getpid()}\n", "utf-8")
        for name, text in self._notes.items():
            partial = self.folder / f"{name}.partial"
            partial.write_text(text, "utf-8")
            partial.replace(self.folder / name)

    def _start_all(self, supervisor: Supervisor) -> Addresses:
        def start_kafka(broker: int, controller: int) -> str:
            return kafka.start(supervisor, self.folder / "kafka", broker, controller, self._report)

        def start_redis(port: int) -> str:
            return redis.start(supervisor, self.folder / "redis", port)

        def start_bigquery(rest: int, grpc: int) -> tuple[str, str]:
            return bigquery.start(supervisor, self.folder / "bigquery", rest, grpc)

        wanted = self._ports
        kafka_ports = {"Kafka": wanted and wanted.kafka, "Kafka's controller": wanted and wanted.controller}
        redis_ports = {"Redis": wanted and wanted.redis}
        bigquery_ports = {
            "BigQuery": wanted and wanted.bigquery_rest,
            "BigQuery's Storage API": wanted and wanted.bigquery_grpc,
        }
        with ThreadPoolExecutor(3) as pool:
            at_kafka = pool.submit(self._timed, "Kafka", lambda: self._on_ports(kafka_ports, start_kafka))
            at_redis = pool.submit(self._timed, "Redis", lambda: self._on_ports(redis_ports, start_redis))
            at_bigquery = pool.submit(self._timed, "BigQuery", lambda: self._on_ports(bigquery_ports, start_bigquery))
            try:
                rest, grpc = at_bigquery.result()
                return Addresses(at_kafka.result(), at_redis.result(), rest, grpc, bigquery.PROJECT)
            except BaseException:
                supervisor.close()  # the other starts give up, so that the pool can end
                raise

    def _timed(self, name: str, start: Callable[[], T]) -> T:
        began = time.monotonic()
        started = start()
        self._report(f"{name} serves after {time.monotonic() - began:.1f} s")
        return started

    def _on_ports(self, wanted: Mapping[str, int | None], start: Callable[..., T]) -> T:
        """Call ``start`` with the wanted ports, or a free one where one is taken or none is wanted.

        If another process has taken one meanwhile, it is called again with another.
        """
        said: set[str] = set()
        for last in (False,) * (PORT_TRIES - 1) + (True,):
            spare = iter(free_ports(len(wanted)))
            ports = [port if port is not None and is_free(port) else next(spare) for port in wanted.values()]
            for (name, port), taken in zip(wanted.items(), ports, strict=True):
                if port is not None and port != taken and name not in said:
                    said.add(name)
                    self._report(f"another program has port {port}: {name} is at {LOOPBACK}:{taken} this time")
            try:
                return start(*ports)
            except Stopped:
                raise
            except ChildFailed:
                if last or all(is_free(port) for port in ports):
                    raise
        raise AssertionError("unreachable")
