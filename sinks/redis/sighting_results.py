"""Reads messages about sightings from Redis, for applications and the command line."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from typing import Any, Self, cast

import redis

from schemas.ids import canonical
from sinks.redis.address import RedisAddress, RedisSettings
from sinks.redis.connection import connect
from sinks.redis.errors import ResultsUnavailable, explained
from sinks.redis.keys import Keys
from sinks.redis.results import Json, LiveEntry

_BLOCK_MS = 1_000
_KIND = "sighting"


class SightingResults:
    """Reads what is kept of a user's sightings, and what comes.

    Every method raises :class:`sinks.redis.errors.ResultsUnavailable` if the server does not answer.
    """

    def __init__(self, server: RedisAddress | str, prefix: str = "facestream:") -> None:
        """Connects at the first call of a method."""
        self._redis = connect(server)
        self._keys = Keys(prefix)

    @classmethod
    def of(cls, settings: RedisSettings) -> Self:
        """Reads where these settings say."""
        return cls(RedisAddress.of(settings), settings.redis_prefix)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def kept(self, user_id: str, most: int | None = None) -> list[LiveEntry]:
        """The messages that are kept, or the newest of them, the oldest first."""
        try:
            found = self._redis.xrevrange(self._keys.sightings(canonical(user_id)), count=most)
        except redis.RedisError as error:
            raise ResultsUnavailable(explained(error)) from error
        return [
            one
            for entry_id, fields in reversed(cast(list[Any], found))
            if (one := _entry(entry_id, fields)) is not None
        ]

    def follow(self, user_id: str, after: str = "0", timeout_s: float | None = None) -> Iterator[LiveEntry]:
        """Yield messages in order, as they come.

        Args:
            user_id: the user.
            after: id of the entry after which to start; ``0``: all that are kept.
            timeout_s: stop after this many seconds; None: never.
        """
        stream = self._keys.sightings(canonical(user_id))
        until = None if timeout_s is None else time.monotonic() + timeout_s
        try:
            while until is None or time.monotonic() < until:
                left_ms = _BLOCK_MS if until is None else max(1, round(1000 * (until - time.monotonic())))
                for _, entries in (
                    cast(list[Any], self._redis.xread({stream: after}, block=min(_BLOCK_MS, left_ms))) or []
                ):
                    for entry_id, fields in entries:
                        after = entry_id
                        if (one := _entry(entry_id, fields)) is not None:
                            yield one
        except redis.RedisError as error:
            raise ResultsUnavailable(explained(error)) from error


def last_messages(events: Iterable[Json]) -> list[Json]:
    """The last message about each sighting; those that began first come first."""
    found: dict[str, Json] = {}
    for event in events:
        known = found.get(event["sighting_id"])
        if known is None or event["number"] > known["number"]:
            found[event["sighting_id"]] = event
    return sorted(found.values(), key=lambda one: (one["first_seen_at"], one["sighting_id"]))


def _entry(entry_id: str, fields: dict[str, str]) -> LiveEntry | None:
    """An entry of the stream; None if somebody else has put it there."""
    try:
        event = json.loads(fields.get("json") or "null")
    except ValueError:
        return None
    return LiveEntry(entry_id, _KIND, event) if isinstance(event, dict) and "sighting_id" in event else None
