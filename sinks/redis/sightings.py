"""Writes messages about sightings to the stream of their user, and erases them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import redis

from schemas.as_json import to_json
from schemas.ids import canonical, spellings
from schemas.sightings import Sighting
from sinks.redis.keys import Keys

_SHOW = (Path(__file__).parent / "sighting.lua").read_text("utf-8")


def show(pipeline: Any, keys: Keys, event: Sighting, ttl_s: int, stream_length: int) -> None:
    """Add one message with one command; one that is there already changes nothing."""
    stream, seen = keys.sightings(event.user_id), keys.seen(event.user_id, event.change_id)
    text = json.dumps(to_json(event), ensure_ascii=False)
    fields = (
        *(
            "change_id",
            event.change_id,
            "sighting_id",
            event.sighting_id,
            "state",
            event.state.value,
            "camera_id",
            event.camera_id,
        ),
        *("subject_id", event.subject_id or "", "stranger_id", event.stranger_id or ""),
    )
    pipeline.eval(_SHOW, 2, seen, stream, ttl_s, stream_length, stream, text, *fields)


class SightingEraser:
    """Erases what :func:`show` writes; safe to repeat."""

    def __init__(self, client: redis.Redis, keys: Keys, *, dry_run: bool = False) -> None:
        """With ``dry_run`` everything is counted and nothing is changed."""
        self._redis = client
        self._keys = keys
        self._dry_run = dry_run

    def erase(self, user_id: str, subject_id: str | None) -> int:
        """Remove the messages about a user, or those about sightings that name a subject; return how many.

        Raises:
            redis.RedisError: not all were removed.
        """
        subject_id = None if subject_id is None else canonical(subject_id)
        return sum(self._erase(user, subject_id) for user in spellings(user_id))

    def _erase(self, user_id: str, subject_id: str | None) -> int:
        """Rewrite the stream without the entries; XDEL would leave their bytes in memory."""
        stream = self._keys.sightings(user_id)
        if self._redis.type(stream) != "stream":
            return 0
        entries = cast(list[tuple[str, dict[Any, Any]]], self._redis.xrange(stream))
        # Whoever was unknown at first is in the first messages without a name.
        theirs = [of for _, of in entries if subject_id in (None, canonical(of.get("subject_id", "")))]
        named = {of.get("sighting_id") for of in theirs}
        left = [(number, of) for number, of in entries if of.get("sighting_id") not in named]
        if len(left) < len(entries) and not self._dry_run:
            gone = [of.get("change_id", "") for _, of in entries if of.get("sighting_id") in named]
            with self._redis.pipeline() as pipeline:
                pipeline.unlink(stream, *(self._keys.seen(user_id, one) for one in gone))
                for number, fields in left:
                    pipeline.xadd(stream, fields, id=number)
                pipeline.execute()
        return len(entries) - len(left)
