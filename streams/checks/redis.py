"""The Redis-protocol server, and its clock against ours."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

import redis

from sinks.redis.sink import connect
from streams.checks.clock import clock
from streams.checks.finding import HANGS, Finding, fail, ok, warn
from streams.settings import Settings

_ANSWER_S = 3.0


def check(settings: Settings) -> Iterator[Finding]:
    """Whether it answers, keeps what it holds, and knows the time."""
    parts = urlsplit(settings.redis_url)
    where = f"{parts.hostname}:{parts.port or 6379}"
    try:
        with closing(connect(settings.redis_url, _ANSWER_S)) as client:
            began = time.time()
            seconds, micros = client.time()
            took = time.time() - began
            memory = client.info("memory")
    except (redis.RedisError, OSError, ValueError) as error:
        hangs = isinstance(error, redis.TimeoutError) and "connecting" not in str(error)
        yield fail(
            "redis",
            f"no answer at {where}: {' '.join(str(error).split())}",
            HANGS if hangs else "start it with `facestream up`, or set FACESTREAM_REDIS_URL",
        )
        return
    yield ok("redis", f"answers at {where} in {1000 * took:.0f} ms")
    policy = str(memory.get("maxmemory_policy", "noeviction"))
    if memory.get("maxmemory") and policy.startswith("allkeys"):
        yield warn(
            "redis memory",
            f"the policy {policy} throws results away before their time when memory is short",
            "set maxmemory-policy to volatile-ttl or noeviction",
        )
    yield clock("Redis", seconds + micros / 1e6 - (began + took / 2), took / 2)
