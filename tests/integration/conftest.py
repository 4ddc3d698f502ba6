"""One stack for all integration tests: every service and every role, with the real model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.photos import sample_photos
from streams.devtools.local_stack import Stack
from tests.client.environment import build, install
from tests.integration.clients import Clients, new_user
from tests.integration.pictures import encoded, scaled
from tests.prepared_tables import with_tables


@pytest.fixture(scope="session")
def photo_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder from which the workers may read pictures that an event names by address."""
    return tmp_path_factory.mktemp("photo-store")


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory, photo_store: Path) -> Iterator[Stack]:
    """Services, topics, tables and one worker of each role.

    Tests share it: take a user of your own, and leave as many workers as you found.
    """
    changes = {"partitions": 4, "live_stream_length": 100_000, "uri_roots": [f"{photo_store.as_uri()}/"]}
    with Stack(with_tables(tmp_path_factory.mktemp("stack")), print, **changes) as running:
        running.add_workers()
        yield running
        deaths = list(iter(lambda: running.services.supervisor.wait(0), None))
    # The local BigQuery server may crash; it comes back, and nothing may be lost by that.
    assert not [death for death in deaths if death.name != "bigquery"], "a worker died that nobody killed"


@pytest.fixture(scope="package")
def clients(stack: Stack) -> Iterator[Clients]:
    opened = Clients(stack.settings)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment with the client's built wheel and what it depends on, and nothing else."""
    folder = tmp_path_factory.mktemp("application")
    return install(build(folder), folder / "venv")


@pytest.fixture(scope="session")
def photos() -> Path:
    """The sample photographs; see infra.photos."""
    return sample_photos()


@dataclass(frozen=True)
class Portraits:
    """Small JPEGs of two people: three different photographs of one, one of the other."""

    obama: bytes
    obama2: bytes
    obama3: bytes
    biden: bytes


@pytest.fixture(scope="session")
def portraits(photos: Path) -> Portraits:
    def small(name: str) -> bytes:
        return encoded(scaled(photos / f"{name}.jpg", 480))

    return Portraits(small("obama"), small("obama2"), small("obama3"), small("biden"))


@pytest.fixture
def user() -> str:
    """A user with an empty gallery."""
    return new_user()


@pytest.fixture
def host(clients: Clients, portraits: Portraits) -> str:
    """A user in whose gallery the subject ``obama`` is."""
    name = new_user("host")
    sent = clients.producer.enrol(name, portraits.obama, consent="tests", subject_id="obama")
    assert clients.answer(sent.event_id)["outcome"] == "enrolled"
    return name
