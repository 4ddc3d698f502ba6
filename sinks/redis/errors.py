"""What Redis' errors mean for the sink."""

from __future__ import annotations

import redis

from sinks.base import SinkUnavailable

_OF_A_CLUSTER = ("same slot", "CROSSSLOT", "MOVED", "CLUSTERDOWN")


def unavailable(error: redis.RedisError) -> SinkUnavailable:
    """Why nothing can be written now, in words of whoever can mend it."""
    text = str(error)
    if any(word in text for word in _OF_A_CLUSTER):
        return SinkUnavailable(f"Redis is a cluster, which is not supported yet: see `facestream doctor` ({text})")
    if isinstance(error, redis.exceptions.OutOfMemoryError):
        return SinkUnavailable(f"Redis is full: give it more memory, see `facestream doctor` ({text})")
    if isinstance(error, redis.exceptions.ReadOnlyError):
        return SinkUnavailable(f"Redis is a read-only replica: FACESTREAM_REDIS_URL must name the primary ({text})")
    return SinkUnavailable(f"Redis: {type(error).__name__}: {text}")
