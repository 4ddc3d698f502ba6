"""Event ids that callers choose: each is of the user who used it first.

Redis keeps the first answer to an event id. If two users used the same one, the second would never see his answer, so
he is told at once. All that is kept is a digest of the user, as long as answers are.
"""

from __future__ import annotations

import logging
from hashlib import sha256

import redis

from sinks.redis.address import RedisAddress
from sinks.redis.connection import connect_async
from streams.gateway.problems import GatewayReason, Problem
from streams.settings import Settings

log = logging.getLogger(__name__)


class EventClaims:
    """Claims in Redis, for all gateways together. While Redis is away, nothing is claimed: Kafka takes events then."""

    def __init__(self, settings: Settings) -> None:
        """Connects when something is first claimed."""
        self._prefix = settings.redis_prefix
        self._ttl_s = settings.result_ttl_s
        self._redis = connect_async(RedisAddress.of(settings), 1.0, decode=False)

    async def claim(self, event_id: str, user_id: str) -> None:
        """Claim an event id for a user; his own may be claimed again.

        Raises:
            Problem: another user has it.
        """
        name, mine = f"{self._prefix}claim:{event_id}", sha256(user_id.encode()).digest()[:16]
        try:
            if await self._redis.set(name, mine, nx=True, ex=self._ttl_s):
                return
            kept = await self._redis.get(name)
        except redis.RedisError as error:
            log.warning("an event id is not claimed, since Redis does not answer: %s", error)
            return
        if kept not in (mine, None):
            detail = "another user has sent an event with this event_id: take a random one"
            raise Problem(409, GatewayReason.EVENT_ID_TAKEN, detail)

    async def close(self) -> None:
        """Disconnect."""
        await self._redis.aclose()
