"""Follows a user's live stream on asyncio, for many readers at once: none of them has a thread."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Self, cast

import redis

from schemas.ids import canonical
from sinks.redis.address import RedisAddress, RedisSettings
from sinks.redis.connection import connect_async
from sinks.redis.errors import ResultsUnavailable, explained
from sinks.redis.keys import Keys
from sinks.redis.results import LiveEntry, parsed

_BLOCK_MS = 1_000
_AT_ONCE = 100


class LiveStreams:
    """The live streams of all users."""

    def __init__(self, server: RedisAddress | str, prefix: str = "facestream:", most: int = 1_000) -> None:
        """``most`` readers may follow at once; connects when the first does."""
        self._keys = Keys(prefix)
        self._redis = connect_async(server, 5.0, most=most)

    @classmethod
    def of(cls, settings: RedisSettings) -> Self:
        """Follows where these settings say."""
        return cls(RedisAddress.of(settings), settings.redis_prefix)

    async def last_id(self, user_id: str) -> str:
        """The id of the newest entry; ``0`` where there is none.

        Raises:
            ResultsUnavailable: Redis does not answer.
        """
        try:
            last = cast(list[Any], await self._redis.xrevrange(self._keys.live(canonical(user_id)), count=1))
        except redis.RedisError as error:
            raise ResultsUnavailable(explained(error)) from error
        return str(last[0][0]) if last else "0"

    async def keeps_all_after(self, user_id: str, after: str) -> bool:
        """Whether the stream still has every entry after this one.

        Raises:
            ResultsUnavailable: Redis does not answer.
        """
        name = self._keys.live(canonical(user_id))
        try:
            if not await self._redis.exists(name):
                return after == "0"
            about: dict[str, Any] = await self._redis.xinfo_stream(name)
        except redis.RedisError as error:
            raise ResultsUnavailable(explained(error)) from error
        first = about.get("first-entry")
        # An approximate trimming does not note what it has removed, so what counts is what is still there.
        return first is None or place(after) >= place(str(first[0])) or about.get("entries-added") == about["length"]

    async def follow(self, user_id: str, after: str) -> AsyncIterator[LiveEntry | None]:
        """Yield the entries after this one as they come, and None every second in which none comes.

        Raises:
            ResultsUnavailable: Redis does not answer.
        """
        name = self._keys.live(canonical(user_id))
        while True:
            try:
                found = await self._redis.xread({name: after}, count=_AT_ONCE, block=_BLOCK_MS)
            except redis.RedisError as error:
                raise ResultsUnavailable(explained(error)) from error
            if not found:
                yield None
            for _, entries in cast(list[Any], found):
                for entry_id, fields in entries:
                    after = str(entry_id)
                    if (event := parsed(fields.get("json"))) is not None:
                        yield LiveEntry(after, str(fields.get("kind", "")), event)

    async def close(self) -> None:
        """Disconnect."""
        await self._redis.aclose()


def place(entry_id: str) -> tuple[int, int]:
    """The order of ids."""
    time_ms, _, number = entry_id.partition("-")
    return int(time_ms), int(number or 0)
