"""A BigQuery-compatible and a Redis-protocol server for the tests of the sinks."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
import redis

from infra.bigquery import PROJECT
from infra.supervisor import Supervisor
from sinks.bigquery import Address
from sinks.redis import RedisResults, RedisSink
from tests.sinks.servers import BigQuery, Redis, start_bigquery, start_redis


@pytest.fixture(scope="session")
def bigquery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BigQuery]:
    with Supervisor() as supervisor:
        yield start_bigquery(supervisor, tmp_path_factory.mktemp("bigquery"))


def new_address(server: BigQuery) -> Address:
    """A dataset that does not exist yet."""
    return Address(PROJECT, f"d{uuid4().hex[:8]}", server.rest, server.grpc)


@pytest.fixture
def address(bigquery: BigQuery) -> Iterator[Address]:
    address = new_address(bigquery)
    yield address
    # The more tables a server has, the longer it takes to make the next.
    address.rest_client().delete_dataset(address.dataset_id, delete_contents=True, not_found_ok=True)


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with Supervisor() as supervisor:
        yield start_redis(supervisor, tmp_path_factory.mktemp("redis"))


@pytest.fixture
def url(redis_server: Redis) -> str:
    redis.Redis.from_url(redis_server.url).flushall()
    return redis_server.url


@pytest.fixture
def sink(url: str) -> Iterator[RedisSink]:
    sink = RedisSink(url, stream_length=100)
    yield sink
    sink.close()


@pytest.fixture
def results(url: str) -> Iterator[RedisResults]:
    results = RedisResults(url)
    yield results
    results.close()
