"""A BigQuery-compatible server for the tests of the sink."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from infra.bigquery import PROJECT
from infra.supervisor import Supervisor
from sinks.bigquery import Address
from tests.sinks.servers import BigQuery, start_bigquery


@pytest.fixture(scope="session")
def bigquery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BigQuery]:
    with Supervisor() as supervisor:
        yield start_bigquery(supervisor, tmp_path_factory.mktemp("bigquery"))


def new_address(server: BigQuery) -> Address:
    """A dataset that does not exist yet."""
    return Address(PROJECT, f"d{uuid4().hex[:8]}", server.rest, server.grpc)


@pytest.fixture
def address(bigquery: BigQuery) -> Address:
    return new_address(bigquery)
