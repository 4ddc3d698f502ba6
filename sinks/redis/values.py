"""Reads the values of many keys, which may be on different shards."""

from __future__ import annotations

from collections.abc import Sequence

import redis

from sinks.redis.errors import blames_key


def values_of(client: redis.Redis, keys: Sequence[str]) -> list[str | None]:
    """The texts under keys; None where there is none, or where somebody else has put a value of another type.

    Raises:
        redis.RedisError: a server does not answer.
    """
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        pipeline.get(key)
    answers = pipeline.execute(raise_on_error=False)
    if failed := next((one for one in answers if isinstance(one, Exception) and not blames_key(one)), None):
        raise failed
    return [None if isinstance(one, Exception) else one for one in answers]
