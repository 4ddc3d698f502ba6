"""Checks the Redis-protocol server: whether the sink can use it, its eviction policy, and its clock."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import redis

from sinks.redis.address import InvalidRedisSettings, RedisAddress
from sinks.redis.cluster import Cluster
from sinks.redis.connection import connect
from sinks.redis.errors import NO_CLUSTER, Refusal
from streams.operations.doctor.away import explained
from streams.operations.doctor.clock import clock
from streams.operations.doctor.finding import Finding, fail, ok, warn
from streams.operations.doctor.remedies import Advice, Remedy
from streams.settings import Settings

_ANSWER_S = 3.0
_PROBE_TTL_S = 60
_TAKE_OUT = "return redis.call('DEL', KEYS[1])"
"""A script, since the sink writes live results with one."""
_NEARLY = 0.9
_REMEDIES = {
    Refusal.PASSWORD: Remedy.REDIS_PASSWORD,
    Refusal.CERTIFICATE: Remedy.REDIS_CERTIFICATE,
    Refusal.HOST_NAME: Remedy.REDIS_HOST_NAME,
    Refusal.EXPIRED: Remedy.REDIS_EXPIRED,
    Refusal.RIGHTS: Remedy.REDIS_RIGHTS,
}


def check(settings: Settings) -> Iterator[Finding]:
    """Check that it takes a write and a script, is a primary, does not evict data, and has the right time."""
    try:
        address = RedisAddress.of(settings)
    except InvalidRedisSettings as error:
        yield fail("redis", str(error), Remedy.REDIS_ADDRESS())
        return
    where = address.where
    try:
        with closing(connect(address, _ANSWER_S)) as client:
            looks = [_look(one, settings) for one in _servers(client)]
    except InvalidRedisSettings as error:
        yield fail("redis", str(error), Remedy.REDIS_ADDRESS())
        return
    except (redis.RedisError, OSError, ValueError) as error:
        yield _unusable(where, error, settings)
        return
    troubles = [one.trouble for one in looks if one.trouble is not None]
    if troubles:
        yield from troubles
    else:
        shards = f" on {len(looks)} shards" if settings.redis_cluster else ""
        yield ok("redis", f"takes writes{shards} at {where}, answers in {1000 * max(o.took_s for o in looks):.0f} ms")
        for one in looks:
            yield from _memory(one.memory)
    worst = max(looks, key=lambda one: abs(one.clock_ahead_s))
    yield clock("Redis", worst.clock_ahead_s, worst.took_s / 2)


def usable(settings: Settings) -> bool:
    """Whether the sink could write now."""
    try:
        with closing(connect(RedisAddress.of(settings), _ANSWER_S)) as client:
            return all(_trouble(one, settings) is None for one in _servers(client))
    except (redis.RedisError, OSError, ValueError):
        return False


@dataclass(frozen=True, slots=True)
class _Server:
    """A server, or the primary of a shard; its keys have the hash tag."""

    client: redis.Redis
    shard: str = ""
    tag: str = ""


@dataclass(frozen=True, slots=True)
class _Look:
    """What a server said."""

    trouble: Finding | None
    took_s: float
    clock_ahead_s: float
    memory: Mapping[str, Any]


def _servers(client: redis.Redis) -> list[_Server]:
    if not isinstance(client, Cluster):
        return [_Server(client)]
    return [_Server(client.primary(name), f" ({name})", f"{{{tag}}}:") for name, tag in client.shard_tags().items()]


def _look(server: _Server, settings: Settings) -> _Look:
    began = time.time()
    seconds, micros = server.client.time()
    took = time.time() - began
    ahead = seconds + micros / 1e6 - (began + took / 2)
    trouble = _trouble(server, settings)
    if trouble is not None:
        trouble = replace(trouble, observed=trouble.observed + server.shard)
    return _Look(trouble, took, ahead, server.client.info("memory"))


def _trouble(server: _Server, settings: Settings) -> Finding | None:
    """Why the sink could not use a server that answers; None if it can.

    Raises:
        redis.RedisError: it does not answer.
    """
    client = server.client
    info: dict[str, Any] = client.info()
    if info.get("cluster_enabled") and not settings.redis_cluster:
        return fail("redis", "a cluster, though FACESTREAM_REDIS_CLUSTER is not set", Remedy.REDIS_CLUSTER())
    if info.get("role") == "slave":
        primary = f"{info.get('master_host')}:{info.get('master_port')}"
        kind = "read-only replica" if info.get("slave_read_only", 1) else "replica, which forgets what is written to it"
        return fail("redis", f"a {kind}, of {primary}", Remedy.REDIS_PRIMARY(primary=primary))
    key = f"{settings.redis_prefix}doctor:{server.tag}{uuid.uuid4().hex}"
    try:
        client.set(key, "writable?", ex=_PROBE_TTL_S)
        if client.get(key) is None:
            return fail("redis", "does not keep what is written to it", Remedy.REDIS_LOG())
        client.eval(_TAKE_OUT, 1, key)
    except redis.exceptions.OutOfMemoryError:
        used, most = int(info["used_memory"]), int(info.get("maxmemory", 0))
        policy = info.get("maxmemory_policy", "noeviction")
        return fail("redis", f"full (used {_mb(used)} of {_mb(most)}, {policy})", Remedy.REDIS_FULL())
    except redis.exceptions.ReadOnlyError:
        return fail("redis", "read-only: it takes no writes", Remedy.REDIS_LOG())
    except redis.ResponseError as error:
        return fail("redis", f"takes no writes: {_line(error)}", _refused(error))
    return None


def _refused(error: redis.ResponseError) -> Advice:
    text = str(error)
    if (refusal := Refusal.of(error)) is not None:
        return _REMEDIES[refusal]()
    if "MISCONF" in text or "unable to persist" in text:
        return Remedy.REDIS_SAVES()
    if "NOREPLICAS" in text or "good replicas" in text:
        return Remedy.REDIS_REPLICAS()
    return Remedy.REDIS_LOG()


def _unusable(where: str, error: Exception, settings: Settings) -> Finding:
    if (refusal := Refusal.of(error)) is not None:
        return fail("redis", f"the one at {where} {refusal.what}: {_line(error)}", _REMEDIES[refusal]())
    if NO_CLUSTER in str(error):
        return fail(
            "redis", f"no cluster at {where}, though FACESTREAM_REDIS_CLUSTER is set", Remedy.REDIS_NO_CLUSTER()
        )
    if isinstance(error, redis.exceptions.BusyLoadingError):
        return fail("redis", f"still loads its data at {where}", Remedy.REDIS_LOG())
    if isinstance(error, redis.ResponseError):
        # A server that cannot save refuses even a PING.
        return fail("redis", f"takes no writes at {where}: {_line(error)}", _refused(error))
    hangs = isinstance(error, redis.TimeoutError) and "connecting" not in str(error)
    if hangs:
        return fail("redis", f"no answer at {where}: {_line(error)}", Remedy.HANGS())
    away = fail("redis", f"no answer at {where}: {_line(error)}", Remedy.REDIS_AWAY())
    return explained(away, settings, "redis", where)


def _memory(memory: Mapping[str, Any]) -> Iterator[Finding]:
    policy, most = str(memory.get("maxmemory_policy", "noeviction")), int(memory.get("maxmemory") or 0)
    if not most:
        return
    if policy.startswith("allkeys"):
        yield warn(
            "redis memory",
            f"the policy {policy} throws results away before their time when memory is short",
            Remedy.REDIS_EVICTS(),
        )
    elif int(memory["used_memory"]) > _NEARLY * most:
        yield warn(
            "redis memory", f"{_mb(int(memory['used_memory']))} of {_mb(most)} are used", Remedy.REDIS_NEARLY_FULL()
        )


def _mb(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
