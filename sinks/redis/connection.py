"""Makes every client of a Redis-protocol server."""

from __future__ import annotations

from typing import Any, cast

import redis
import redis.asyncio
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from sinks.redis.address import RedisAddress
from sinks.redis.cluster import AsyncCluster, Cluster

_MANY = 2**31
_KEPT_ALIVE: dict[str, Any] = {
    "socket_keepalive": True,
    # Values that others have put under our keys may not be valid UTF-8.
    "encoding_errors": "replace",
}


def connect(server: RedisAddress | str, answer_timeout_s: float = 5.0) -> redis.Redis:
    """Make a client that gives up on a dead or frozen server within seconds, and detects dead idle connections.

    Args:
        server: the server; a URL is enough for one that needs no files.
        answer_timeout_s: seconds that a command may take.

    Raises:
        InvalidRedisSettings: the address or a file that it names cannot be used.
    """
    address = _address(server)
    options = (
        address.options()
        | _KEPT_ALIVE
        | {
            "socket_connect_timeout": 3.0,
            "socket_timeout": answer_timeout_s,
            "health_check_interval": 15,
            "retry": Retry(ExponentialBackoff(cap=0.2, base=0.05), 1),
            "decode_responses": True,
        }
    )
    if address.cluster:
        return cast(redis.Redis, Cluster(address.hosts, **options))
    return redis.Redis.from_url(**options)


def connect_async(
    server: RedisAddress | str, answer_timeout_s: float, *, decode: bool = True, most: int | None = None
) -> redis.asyncio.Redis:
    """Make a client for asyncio.

    Args:
        server, answer_timeout_s: as of :func:`connect`.
        decode: whether values are text; otherwise bytes.
        most: connections at once; None: any number.

    Raises:
        InvalidRedisSettings: the address or a file that it names cannot be used.
    """
    address = _address(server)
    options = (
        address.options()
        | _KEPT_ALIVE
        | {
            "max_connections": most or _MANY,
            "socket_connect_timeout": min(3.0, answer_timeout_s),
            "socket_timeout": answer_timeout_s,
            "decode_responses": decode,
        }
    )
    if address.cluster:
        return cast(redis.asyncio.Redis, AsyncCluster.from_url(hosts=address.hosts, **options))
    return redis.asyncio.Redis.from_url(**options)


def _address(server: RedisAddress | str) -> RedisAddress:
    return RedisAddress(server) if isinstance(server, str) else server
