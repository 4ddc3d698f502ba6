"""When each key was last used: a hash in Redis, written by the gateways and read by ``facestream keys list``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import cast

import redis

from schemas.as_json import time_text
from sinks.redis.address import RedisAddress
from sinks.redis.connection import connect
from sinks.redis.errors import ResultsUnavailable, explained
from streams.client.settings import ClientOptions


class LastUse:
    """The time of the last use by key id. Not exact: gateways write it every few seconds, and a time may be lost."""

    def __init__(self, settings: ClientOptions) -> None:
        """Connects when it is first asked."""
        self._redis = connect(RedisAddress.of(settings))
        self._name = f"{settings.redis_prefix}keys:used"

    def write(self, used: Mapping[str, datetime]) -> None:
        """Keep these times.

        Raises:
            ResultsUnavailable: Redis does not answer.
        """
        try:
            self._redis.hset(self._name, mapping={key_id: time_text(at) for key_id, at in used.items()})
        except redis.RedisError as error:
            raise ResultsUnavailable(explained(error)) from error

    def read(self) -> dict[str, datetime]:
        """The times that are kept.

        Raises:
            ResultsUnavailable: Redis does not answer.
        """
        try:
            kept = cast(dict[str, str], self._redis.hgetall(self._name))
        except redis.RedisError as error:
            raise ResultsUnavailable(explained(error)) from error
        return {key_id: datetime.fromisoformat(at).astimezone(UTC) for key_id, at in kept.items()}

    def close(self) -> None:
        """Disconnect."""
        self._redis.close()
