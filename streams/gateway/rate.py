"""How many requests a second a key may make for a user, counted in Redis for all gateways together."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import redis

from sinks.redis.address import RedisAddress
from sinks.redis.connection import connect_async
from streams.gateway.problems import GatewayReason, later
from streams.settings import Settings

log = logging.getLogger(__name__)

_BURST_S = 2.0
"""A bucket holds what its rate gives in this time."""


class RateLimit:
    """A token bucket for each key and user. While Redis is away, nothing is limited: Kafka takes events then."""

    def __init__(self, settings: Settings) -> None:
        """Connects when it is first asked, and never if no rate is set."""
        self._rate = settings.gateway_requests_per_s
        self._prefix = settings.redis_prefix
        self._redis = connect_async(RedisAddress.of(settings), 1.0, decode=False)
        self._take = self._redis.register_script((Path(__file__).parent / "rate.lua").read_text("utf-8"))

    async def take(self, key_id: str, user_id: str) -> None:
        """Take a token.

        Raises:
            Problem: there is none; it says when there will be one.
        """
        if self._rate is None:
            return
        try:
            name = f"{self._prefix}rate:{key_id}:{user_id}"
            wait_ms = int(await self._take(keys=[name], args=[self._rate, max(1.0, self._rate * _BURST_S)]))
        except redis.RedisError as error:
            log.warning("requests are not limited, since Redis does not answer: %s", error)
            return
        if wait_ms:
            detail = f"the key may make {self._rate:g} requests a second for this user"
            raise later(GatewayReason.TOO_MANY_REQUESTS, detail, math.ceil(wait_ms / 1000), status=429)

    async def close(self) -> None:
        """Disconnect."""
        await self._redis.aclose()
