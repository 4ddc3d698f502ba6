"""Waits for replicas, where a write that is lost in a failover would never be repeated."""

from __future__ import annotations

import redis

from sinks.redis.cluster import Cluster
from sinks.redis.keys import Keys

_WAIT_MS = 2_000
_KEPT_S = 60


def await_replicas(client: redis.Redis, keys: Keys) -> None:
    """Wait until each replica that follows a primary has all that was written before this call.

    Raises:
        redis.RedisError: a server does not answer, or a replica does not confirm it within seconds.
    """
    shards = (
        [(client.primary(name), tag) for name, tag in client.shard_tags().items()]
        if isinstance(client, Cluster)
        else [(client, None)]
    )
    for server, tag in shards:
        if not (replicas := int(server.info("replication").get("connected_slaves", 0))):
            continue
        # Replicas take writes in their order, so one that has this key has everything before it.
        pipeline = server.pipeline(transaction=False)
        pipeline.set(keys.replicated(tag), "1", ex=_KEPT_S)
        pipeline.wait(replicas, _WAIT_MS)
        confirmed = pipeline.execute()[1]
        if confirmed < replicas:
            raise redis.TimeoutError(f"{replicas - confirmed} of {replicas} replicas do not confirm what was written")
