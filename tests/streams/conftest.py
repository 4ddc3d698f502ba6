from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from infra import kafka
from infra.ports import free_ports
from infra.services import LocalServices
from infra.supervisor import Supervisor
from streams.kafka import topic_admin
from streams.kafka.connection import admin_client
from streams.settings import Settings


@pytest.fixture
def empty(services: LocalServices) -> Settings:
    """Settings of a cluster on which our topics do not exist yet."""
    return Settings(kafka=services.addresses.kafka, topic_prefix=f"test-{uuid.uuid4().hex[:8]}.", partitions=4)


@pytest.fixture
def admin(empty: Settings) -> AdminClient:
    return admin_client(empty)


@pytest.fixture
def ready(empty: Settings, admin: AdminClient) -> Settings:
    """The same with the topics created."""
    topic_admin.create(admin, empty)
    return empty


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[tuple[Supervisor, Settings]]:
    """A broker that a test may kill, with topics."""
    with Supervisor() as supervisor:
        broker, controller = free_ports(2)
        address = kafka.start(supervisor, tmp_path, broker, controller, print)
        settings = Settings(kafka=address, partitions=2)
        topic_admin.create(admin_client(settings), settings)
        yield supervisor, settings
