"""A gateway in this process, on topics and keys of its own; with workers that know a picture by its digest."""

from __future__ import annotations

import signal
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest

from infra.services import LocalServices
from schemas.access import Scope
from schemas.results import Enrolment, Match
from schemas.sightings import Sighting
from sinks.base import Delivery, Position
from sinks.bigquery import Address, apply
from sinks.redis import RedisSink
from streams.api_keys.store import create_key
from streams.gateway.context import Context
from streams.gateway.server import GatewayServer, opened
from streams.kafka import topic_admin
from streams.kafka.connection import admin_client
from streams.settings import Settings, variables
from tests.sinks.examples import delivery
from tests.sinks.rows import write
from tests.streams.cli.conftest import Run, environment, pictures, run_here, worker
from tests.waiting import wait_until

__all__ = ["pictures"]

MakeKey = Callable[..., dict[str, str]]


@pytest.fixture(scope="package")
def settings(services: LocalServices, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A cluster with topics and keys of its own, for all tests of the gateway: take a user of your own."""
    name = f"gateway-{uuid.uuid4().hex[:8]}"
    found = Settings(
        **services.addresses.settings(),
        bigquery_dataset=name.replace("-", "_"),
        topic_prefix=f"{name}.",
        redis_prefix=f"{name}:",
        home=tmp_path_factory.mktemp("home"),
        partitions=2,
        max_picture_bytes=100_000,
        gateway_requests_at_once=8,
        hook_private_networks=True,
    )
    topic_admin.create(admin_client(found), found)
    dataset = Address(found.bigquery_project, found.bigquery_dataset, found.bigquery_rest)
    apply(dataset.rest_client(), dataset.dataset_id)
    return found


@pytest.fixture(scope="package")
def workers(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Workers that recognise a picture by its digest, so that what they answer is known beforehand."""
    folder, env = tmp_path_factory.mktemp("workers"), environment(**process_variables(settings))
    with ExitStack() as running:
        for role in (("embed", "--embedder", "digest"), ("match", "--embedder", "digest"), ("sink-redis",)):
            running.enter_context(worker(role, env, folder))
        yield


def process_variables(settings: Settings) -> dict[str, str]:
    """The environment variables that give a process these settings."""
    return variables(settings.model_dump(mode="json", exclude_unset=True))


@pytest.fixture(scope="package")
def context(settings: Settings) -> Iterator[Context]:
    with opened(settings) as here:
        yield here


@contextmanager
def served(here: Context, port: int = 0) -> Iterator[httpx.Client]:
    """A gateway that serves in a thread, and a client of it."""
    listening = socket.create_server(("127.0.0.1", port))
    server = GatewayServer(here)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=60) as client:
            yield client
    finally:
        server.handle_exit(signal.SIGTERM, None)
        thread.join()
        listening.close()


@pytest.fixture(scope="package")
def http(context: Context) -> Iterator[httpx.Client]:
    with served(context) as client:
        yield client


@pytest.fixture(scope="package")
def make_key(settings: Settings, context: Context) -> MakeKey:
    """Make a key that the gateway knows, and give the header with it."""

    def make(*scopes: Scope, user: str | None = None, **options: Any) -> dict[str, str]:
        whom: dict[str, Any] = {"all_users": True} if user is None else {"users": [user]}
        key, _ = create_key(settings, scopes or list(Scope), **whom, **options)
        assert context.keys is not None
        watcher = context.keys
        wait_until(lambda: watcher.check(key.text) is not None)
        return {"Authorization": f"Bearer {key.text}"}

    return make


@pytest.fixture(scope="package")
def everything(make_key: MakeKey) -> dict[str, str]:
    """A key for everything."""
    return make_key()


@pytest.fixture
def here(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run a command on the gateway's cluster."""
    yield from run_here(environment(**process_variables(settings)), monkeypatch, capsys)


def keep(settings: Settings, *events: Match | Enrolment | Sighting, redis: bool = True) -> None:
    """Write events to Redis (unless they are past) and to BigQuery, as the sinks do."""
    batch: list[Delivery[Any]] = [delivery(one, n) for n, one in enumerate(events)]
    if redis:
        sink = RedisSink(settings.redis_url, settings.redis_prefix)
        sink.assign([Position(partition, 0, "") for partition in {one.partition for one in batch}])
        sink.write(batch)
        sink.close()
    write(
        Address(settings.bigquery_project, settings.bigquery_dataset, settings.bigquery_rest, settings.bigquery_grpc),
        batch,
    )


@pytest.fixture
def user() -> str:
    return f"user-{uuid.uuid4().hex[:8]}"
