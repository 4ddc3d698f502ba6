"""Connects to a Redis-protocol server, for writing and for reading."""

from __future__ import annotations

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry


def connect(url: str, answer_timeout_s: float = 5.0) -> redis.Redis:
    """Make a client that gives up on a dead or frozen server within seconds, and detects dead idle connections."""
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=3.0,
        socket_timeout=answer_timeout_s,
        socket_keepalive=True,
        health_check_interval=15,
        retry=Retry(ExponentialBackoff(cap=0.2, base=0.05), 1),
        decode_responses=True,
        # Values that others have put under our keys may not be valid UTF-8.
        encoding_errors="replace",
    )
