"""Reads answers from Redis, for applications, the command line and the tests."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

import redis

from schemas.ids import canonical, event_id_or_same, spellings
from sinks.redis.address import RedisAddress, RedisSettings
from sinks.redis.connection import connect
from sinks.redis.errors import ResultsUnavailable, blames_key, explained
from sinks.redis.keys import Keys
from sinks.redis.values import values_of

_BLOCK_MS = 1_000
_AT_ONCE = 500
_OF_AN_ANSWER = {"event_id", "user_id"}

Json = dict[str, Any]
"""An event as :func:`schemas.as_json.to_json` gives it."""


@dataclass(frozen=True, slots=True)
class LiveEntry:
    """One entry of a user's live stream; ``kind`` is ``match`` or ``enrolment``."""

    entry_id: str
    kind: str
    event: Json


class RedisResults:
    """Reads answers by event id, the latest of a camera, and live. Ids and names may be given in any spelling.

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

    def result(self, event_id: str, replay_id: str | None = None) -> Json | None:
        """The current match of a frame, or that of a replay; None: not yet, or no longer."""
        return self._get([self._keys.result(event_id_or_same(event_id), replay_id)])[0]

    def enrolment(self, event_id: str, replay_id: str | None = None) -> Json | None:
        """The current outcome of an upload, or that of a replay; None: not yet, or no longer."""
        return self._get([self._keys.enrolment(event_id_or_same(event_id), replay_id)])[0]

    def latest(self, user_id: str, camera_id: str) -> Json | None:
        """The newest match of a camera, or None."""
        users, cameras = spellings(user_id), spellings(camera_id)
        found = self._get([self._keys.latest(user, camera) for user in users for camera in cameras])
        return next((match for match in found if match is not None), None)

    def subjects(self, user_id: str) -> dict[str, int]:
        """The user's enrolled subjects, with the number of templates of each."""
        try:
            kept = [self._redis.hgetall(self._keys.subjects(user)) for user in spellings(user_id)]
        except redis.RedisError as error:
            raise ResultsUnavailable(explained(error)) from error
        found: dict[str, int] = {}
        for subject, templates in itertools.chain(*(cast(dict[str, str], one).items() for one in kept)):
            if templates.isdecimal():
                name = canonical(subject)
                found[name] = max(int(templates), found.get(name, 0))
        return found

    def answers(self, event_ids: Sequence[str]) -> dict[str, Json]:
        """The answers to frames and uploads that exist already, by the ids as they were given."""
        found: dict[str, Json] = {}
        for start in range(0, len(event_ids), _AT_ONCE):
            ids = event_ids[start : start + _AT_ONCE]
            results = self._get([self._keys.result(event_id_or_same(one)) for one in ids])
            found.update({i: answer for i, answer in zip(ids, results, strict=True) if answer is not None})
            others = [i for i in ids if i not in found]
            outcomes = self._get([self._keys.enrolment(event_id_or_same(one)) for one in others])
            found.update({i: answer for i, answer in zip(others, outcomes, strict=True) if answer is not None})
        return found

    def wait_for(self, event_ids: Sequence[str], timeout_s: float) -> dict[str, Json]:
        """Wait for the answers to frames and uploads. Answers that did not come in time are missing.

        The ids may be in any form of a UUID; the keys of the result are the ids as they were given.
        """
        until = time.monotonic() + timeout_s
        found: dict[str, Json] = {}
        while missing := [event_id for event_id in event_ids if event_id not in found]:
            found.update(self.answers(missing))
            if time.monotonic() >= until:
                break
            if len(found) < len(event_ids):
                time.sleep(0.02)
        return found

    def follow(self, user_id: str, after: str | None = None, timeout_s: float | None = None) -> Iterator[LiveEntry]:
        """Yield a user's answers in order, as they come.

        Args:
            user_id: the user.
            after: id of the entry after which to start; ``0``: all that are kept; None: only new ones.
            timeout_s: stop when nothing has come for this long; None: never stop.
        """
        stream = self._keys.live(canonical(user_id))
        try:
            if after is None:
                last = cast(list[tuple[str, Any]], self._redis.xrevrange(stream, count=1))
                after = last[0][0] if last else "0"
            quiet_since = time.monotonic()
            while timeout_s is None or time.monotonic() - quiet_since < timeout_s:
                block_ms = _BLOCK_MS if timeout_s is None else max(1, min(_BLOCK_MS, int(timeout_s * 1000)))
                for _, entries in cast(list[Any], self._redis.xread({stream: after}, block=block_ms)) or []:
                    for entry_id, fields in entries:
                        after = entry_id
                        if (event := parsed(fields.get("json"))) is not None:
                            yield LiveEntry(entry_id, fields.get("kind", ""), event)
                    quiet_since = time.monotonic()
        except redis.RedisError as error:
            raise ResultsUnavailable(explained(error)) from error

    def recent(self, count: int | None, user_ids: Sequence[str] = (), within_s: float = 0.5) -> list[LiveEntry]:
        """The newest answers that the live streams keep, the oldest of them first.

        Args:
            count: at most so many; None: all.
            user_ids: of these users; none: of all, as far as they are found in the time.
            within_s: seconds to look for users in a Redis with many keys.
        """
        until = time.monotonic() + within_s
        found: list[LiveEntry] = []
        try:
            if user_ids:
                streams = [self._keys.live(canonical(user)) for user in user_ids]
            else:
                streams = []
                for name in self._redis.scan_iter(match=self._keys.live("*"), count=1_000):
                    streams.append(name)
                    if time.monotonic() > until:
                        break
            for start in range(0, len(streams), _AT_ONCE):
                pipeline = self._redis.pipeline(transaction=False)
                for stream in streams[start : start + _AT_ONCE]:
                    pipeline.xrevrange(stream, count=count)
                for entries in pipeline.execute(raise_on_error=False):
                    if isinstance(entries, Exception):
                        if not blames_key(entries):
                            raise entries
                        continue
                    for entry_id, fields in entries:
                        if (event := parsed(fields.get("json"))) is not None:
                            found.append(LiveEntry(entry_id, fields.get("kind", ""), event))
                found = sorted(found, key=place_of)[-(count or 0) :]
        except redis.RedisError as error:
            raise ResultsUnavailable(explained(error)) from error
        return found

    def kept_matches(self, user_id: str, most: int) -> list[Json]:
        """The newest matches that a user's live stream keeps, each as it is now: a replay may have corrected it."""
        return self._kept(user_id, "match", self._keys.result, most)

    def kept_enrolments(self, user_id: str, most: int) -> list[Json]:
        """The newest outcomes of uploads that a user's live stream keeps, each as it is now."""
        return self._kept(user_id, "enrolment", self._keys.enrolment, most)

    def _kept(self, user_id: str, kind: str, key: Callable[[str], str], most: int) -> list[Json]:
        recent = [one.event for one in self.recent(most, [user_id]) if one.kind == kind]
        kept = [event for event in recent if event.keys() >= _OF_AN_ANSWER]
        found: list[Json] = []
        for start in range(0, len(kept), _AT_ONCE):
            some = kept[start : start + _AT_ONCE]
            now = self._get([key(str(one["event_id"])) for one in some])
            # Another user's event may have the same id; the first answer is the one that is kept.
            found += [
                two if two and two.get("user_id") == one["user_id"] else one for one, two in zip(some, now, strict=True)
            ]
        return found

    def follow_all(self) -> Iterator[LiveEntry]:
        """Yield the answers of all users as they are published, from this call on; the ids of the entries are empty."""
        try:
            channel = self._redis.pubsub()  # type: ignore[no-untyped-call]
            try:
                channel.psubscribe(self._keys.live("*"))
                channel.get_message(timeout=_BLOCK_MS / 1000)  # the server's word that it has begun
            except redis.RedisError:
                channel.close()
                raise
        except redis.RedisError as error:
            raise ResultsUnavailable(explained(error)) from error
        return self._published(channel)

    def _published(self, channel: Any) -> Iterator[LiveEntry]:
        with channel:
            try:
                while True:
                    message = channel.get_message(timeout=_BLOCK_MS / 1000)
                    if message and message["type"] == "pmessage":
                        event = parsed(message["data"])
                        if event is not None and (kind := event.pop("kind", None)):
                            yield LiveEntry("", kind, event)
            except redis.RedisError as error:
                raise ResultsUnavailable(explained(error)) from error

    def _get(self, keys: Sequence[str]) -> list[Json | None]:
        """The answers under these keys. A value that somebody else has put there does not count as one."""
        try:
            return [parsed(text) for text in values_of(self._redis, keys)]
        except redis.RedisError as error:
            raise ResultsUnavailable(explained(error)) from error


def place_of(entry: LiveEntry) -> tuple[int, int]:
    """The order of entries."""
    time_ms, _, number = entry.entry_id.partition("-")
    return int(time_ms), int(number)


def parsed(text: str | None) -> Json | None:
    """The event in a text; None if the text is not an event."""
    try:
        event = json.loads(text or "null")
    except ValueError:
        return None
    return event if isinstance(event, dict) else None
