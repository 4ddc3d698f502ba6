"""Erases a user, or one of his subjects, from Redis."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import redis

from schemas.ids import canonical, spellings
from schemas.parts import Decision
from schemas.reasons import Reason
from sinks.redis.keys import Keys

Json = dict[str, Any]

_SIMILAR = "similar_subject_id"
_AT_ONCE = 500
_SCANNED_AT_ONCE = 5_000


class Eraser:
    """Erases what :class:`sinks.redis.sink.RedisSink` writes; safe to repeat."""

    def __init__(self, client: redis.Redis, keys: Keys, *, dry_run: bool = False) -> None:
        """``keys`` has the prefix of the keys; with ``dry_run`` everything is counted and nothing is changed."""
        self._redis = client
        self._keys = keys
        self._dry_run = dry_run

    def user(self, user_id: str) -> dict[str, int]:
        """Remove everything of a user, under all spellings of his name; return the number of removed items by kind.

        Raises:
            redis.RedisError: not everything was removed.
        """
        return _sum(self._user(user) for user in spellings(user_id))

    def _user(self, user_id: str) -> dict[str, int]:
        keys = self._keys
        names = self._answers(user_id)
        removed = {
            "answers": self._unlink(names),
            "latest": self._unlink(list(self._latest(user_id))),
            "live": self._redis.xlen(keys.live(user_id)) if self._holds(keys.live(user_id), "stream") else 0,
            "subjects": self._redis.hlen(keys.subjects(user_id)) if self._holds(keys.subjects(user_id), "hash") else 0,
        }
        self._unlink([self._seen(user_id, name) for name in names])
        self._unlink([keys.live(user_id), keys.subjects(user_id), keys.answers(user_id)])
        return removed

    def subject(self, user_id: str, subject_id: str) -> dict[str, int]:
        """Remove a subject and the answers about it, and remove it from answers about others.

        Returns:
            The number of removed or changed items, by kind.

        Raises:
            redis.RedisError: not everything was removed.
        """
        return _sum(self._subject(user, canonical(subject_id)) for user in spellings(user_id))

    def _subject(self, user_id: str, subject_id: str) -> dict[str, int]:
        index = self._keys.subjects(user_id)
        names = cast(list[str], self._redis.hkeys(index)) if self._holds(index, "hash") else []
        fields = [one for one in names if canonical(one) == subject_id]
        return {
            "answers": self._take_out(user_id, self._answers(user_id), subject_id),
            "latest": self._take_out(user_id, list(self._latest(user_id)), subject_id),
            "live": self._rewrite_live(user_id, subject_id),
            "subjects": len(fields) if self._dry_run or not fields else self._redis.hdel(index, *fields),
        }

    def _holds(self, key: str, kind: str) -> bool:
        """Whether a key has the type that the sink writes; otherwise somebody else wrote it."""
        return bool(self._redis.type(key) == kind)

    def _rewrite_live(self, user_id: str, subject_id: str) -> int:
        """Rewrite the live stream without entries that name a subject; XDEL would leave their bytes in memory."""
        live = self._keys.live(user_id)
        if not self._holds(live, "stream"):
            return 0
        entries = cast(list[tuple[str, dict[Any, Any]]], self._redis.xrange(live))
        left = [(number, of) for number, of in entries if not _names(_parsed(of.get("json")), subject_id)]
        if len(left) < len(entries) and not self._dry_run:
            with self._redis.pipeline() as pipeline:
                pipeline.unlink(live)
                for number, fields in left:
                    pipeline.xadd(live, fields, id=number)
                pipeline.execute()
        return len(entries) - len(left)

    def _take_out(self, user_id: str, names: Sequence[str], subject_id: str) -> int:
        """Remove a subject from answers; return how many named it."""
        changed = 0
        for some in _chunks(names):
            for name, text in zip(some, cast(list[str | None], self._redis.mget(some)), strict=True):
                answer = _parsed(text)
                if answer is None or not _names(answer, subject_id):
                    continue
                changed += 1
                if self._dry_run:
                    continue
                if _is(answer, subject_id):
                    self._unlink([name, self._seen(user_id, name)])
                    if self._holds(self._keys.answers(user_id), "zset"):
                        self._redis.zrem(self._keys.answers(user_id), name)
                else:
                    now = json.dumps(_left(answer, subject_id), ensure_ascii=False)
                    self._redis.set(name, now, xx=True, keepttl=True)
        return changed

    def _answers(self, user_id: str) -> list[str]:
        """The keys of a user's answers, also those of replays; searched for if the index is incomplete."""
        index = self._keys.answers(user_id)
        kind = self._redis.type(index)
        noted = cast(list[str], self._redis.zrange(index, 0, -1)) if kind == "zset" else []
        ours = [name for name in noted if name.startswith(self._keys.prefix)]
        # The mark of an incomplete index is not a key of ours either, so it also leads to a search.
        if kind == "none" or (kind == "zset" and len(ours) == len(noted)):
            return ours
        return list({*ours, *self._search(user_id)})

    def _search(self, user_id: str) -> Iterator[str]:
        prefix = _literal(self._keys.prefix)
        for kind in ("result:", "enrolment:", "replay:"):
            names = list(self._redis.scan_iter(match=f"{prefix}{kind}*", count=_SCANNED_AT_ONCE))
            for some in _chunks(names):
                for name, text in zip(some, cast(list[str | None], self._redis.mget(some)), strict=True):
                    if (_parsed(text) or {}).get("user_id") == user_id:
                        yield name

    def _latest(self, user_id: str) -> Iterator[str]:
        pattern = _literal(self._keys.latest(user_id, "")) + "*"
        return self._redis.scan_iter(match=pattern, count=_SCANNED_AT_ONCE)

    def _seen(self, user_id: str, answer: str) -> str:
        return self._keys.seen(user_id, answer.rpartition(":")[2])

    def _unlink(self, names: Sequence[str]) -> int:
        removed = 0
        for some in _chunks(names):
            removed += self._redis.exists(*some) if self._dry_run else self._redis.unlink(*some)
        return removed


def _literal(text: str) -> str:
    """A glob pattern that matches only this text."""
    return re.sub(r"([*?\[\]\\])", r"\\\1", text)


def _parsed(text: str | None) -> Json | None:
    """An answer as the sink wrote it; None if there is none, or somebody else wrote the value."""
    try:
        answer = json.loads(text or "null")
    except ValueError:
        return None
    return answer if isinstance(answer, dict) and {"event_id", "user_id", "subject_id"} <= answer.keys() else None


def _chunks(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), _AT_ONCE):
        yield names[start : start + _AT_ONCE]


def _sum(parts: Iterable[dict[str, int]]) -> dict[str, int]:
    """Add up the numbers of removed items, by kind."""
    first, *others = parts
    return {name: count + sum(one[name] for one in others) for name, count in first.items()}


def _is(part: Json, subject_id: str, field: str = "subject_id") -> bool:
    """Whether a part of an answer names a subject, in any spelling."""
    name = part.get(field)
    return isinstance(name, str) and canonical(name) == subject_id


def _names(answer: Json | None, subject_id: str) -> bool:
    """Whether an answer names a subject: as claimed, recognised, a candidate, or similar to another subject."""
    if answer is None:
        return False
    faces = answer.get("faces", [])
    candidates = [candidate for face in faces for candidate in face["candidates"]]
    return _is(answer, subject_id, _SIMILAR) or any(_is(one, subject_id) for one in (answer, *faces, *candidates))


def _left(answer: Json, subject_id: str) -> Json:
    """An answer about others, without a subject."""
    if _is(answer, subject_id, _SIMILAR):
        return answer | {_SIMILAR: None, "detail": None}
    return answer | {"faces": [_without(face, subject_id) for face in answer["faces"]]}


def _without(face: Json, subject_id: str) -> Json:
    """A face of an answer, without a subject."""
    candidates = [candidate for candidate in face["candidates"] if not _is(candidate, subject_id)]
    if _is(face, subject_id):
        face = face | {"decision": Decision.REFUSED.value, "subject_id": None, "reason": Reason.ERASED.value}
    return face | {"candidates": candidates, "ambiguous": face.get("ambiguous", False) and len(candidates) > 1}
