"""Erases a user, or one of his subjects, from Redis."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import redis

from schemas.erasure import ErasedPhoto
from schemas.ids import canonical, spellings
from schemas.parts import Decision
from schemas.reasons import Reason
from sinks.redis.keys import Keys
from sinks.redis.values import values_of

Json = dict[str, Any]

_SIMILAR = "similar_subject_id"
_AT_ONCE = 500
_SCANNED_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class _Person:
    """Whom to take out of answers: a subject of a user, or with None all of them.

    ``own`` says whether the answers are the user's, so that what names no user is about him.
    """

    user_id: str
    subject_id: str | None
    own: bool

    def is_named(self, part: Json, field: str = "subject_id") -> bool:
        """Whether a part of an answer names the person, in any spelling."""
        name, user = part.get(field), part.get("user_id")
        his = self.own if user is None else canonical(user) == self.user_id
        return his and isinstance(name, str) and self.subject_id in (None, canonical(name))


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
        # Of sightings that the stream has no more too.
        self._unlink(list(self._beginning(keys.seen(user_id, ""))))
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

    def photo(self, user_id: str, subject_id: str, photo: ErasedPhoto) -> dict[str, int]:
        """Remove the answers to uploads of a photo of a subject, and note how many templates the subject has left.

        Returns:
            The number of removed items, by kind.

        Raises:
            redis.RedisError: not everything was removed.
        """
        subject, event_ids = canonical(subject_id), frozenset(photo.event_ids)

        def is_gone(answer: Json | None) -> bool:
            return answer is not None and answer["event_id"] in event_ids and canonical(answer["subject_id"]) == subject

        removed = _sum(self._uploads(user, event_ids, is_gone) for user in spellings(user_id))
        for user in spellings(user_id):
            self._note_templates(user, subject, photo.templates_left)
        return removed

    def _uploads(
        self, user_id: str, event_ids: Collection[str], is_gone: Callable[[Json | None], bool]
    ) -> dict[str, int]:
        names = [
            name
            for name in self._answers(user_id)
            if name.rpartition(":")[2] in event_ids and is_gone(_parsed(cast(str | None, self._redis.get(name))))
        ]
        removed = {"answers": self._unlink(names), "live": self._rewrite_live(user_id, is_gone)}
        self._unlink([self._seen(user_id, name) for name in names])
        if names and not self._dry_run and self._holds(self._keys.answers(user_id), "zset"):
            self._redis.zrem(self._keys.answers(user_id), *names)
        return removed

    def _note_templates(self, user_id: str, subject_id: str, left: int | None) -> None:
        index = self._keys.subjects(user_id)
        if left is None or self._dry_run or not self._holds(index, "hash"):
            return
        for name in cast(list[str], self._redis.hkeys(index)):
            if canonical(name) == subject_id:
                if left:
                    self._redis.hset(index, name, left)
                else:
                    self._redis.hdel(index, name)

    def in_searches(self, user_id: str, subject_id: str | None) -> dict[str, int]:
        """Take a user, or a subject, out of answers to searches; return how many named somebody.

        Raises:
            redis.RedisError: not all of them are changed.
        """
        person = _Person(canonical(user_id), None if subject_id is None else canonical(subject_id), own=False)
        names = {name for user in spellings(user_id) for name in self._indexed(self._keys.named(user), person)}
        changed = self._take_out(user_id, sorted(names), person)
        if subject_id is None and not self._dry_run:
            # Not the whole index: another worker may have written a name since, which it finds there when it erases.
            for index in (self._keys.named(user) for user in spellings(user_id)):
                for some in _chunks(sorted(names)) if self._holds(index, "zset") else ():
                    self._redis.zrem(index, *some)
        return {"searches": changed}

    def _subject(self, user_id: str, subject_id: str) -> dict[str, int]:
        index = self._keys.subjects(user_id)
        names = cast(list[str], self._redis.hkeys(index)) if self._holds(index, "hash") else []
        fields = [one for one in names if canonical(one) == subject_id]
        person = _Person(canonical(user_id), subject_id, own=True)
        return {
            "answers": self._take_out(user_id, self._answers(user_id), person),
            "latest": self._take_out(user_id, list(self._latest(user_id)), person),
            "live": self._rewrite_live(user_id, lambda answer: _names(answer, person)),
            "subjects": len(fields) if self._dry_run or not fields else self._redis.hdel(index, *fields),
        }

    def _holds(self, key: str, kind: str) -> bool:
        """Whether a key has the type that the sink writes; otherwise somebody else wrote it."""
        return bool(self._redis.type(key) == kind)

    def _rewrite_live(self, user_id: str, is_gone: Callable[[Json | None], bool]) -> int:
        """Rewrite the live stream without some of its answers; XDEL would leave their bytes in memory."""
        live = self._keys.live(user_id)
        if not self._holds(live, "stream"):
            return 0
        entries = cast(list[tuple[str, dict[Any, Any]]], self._redis.xrange(live))
        left = [(number, of) for number, of in entries if not is_gone(_parsed(of.get("json")))]
        if len(left) < len(entries) and not self._dry_run:
            with self._redis.pipeline() as pipeline:
                pipeline.unlink(live)
                for number, fields in left:
                    pipeline.xadd(live, fields, id=number)
                pipeline.execute()
        return len(entries) - len(left)

    def _take_out(self, user_id: str, names: Sequence[str], person: _Person) -> int:
        """Remove somebody from answers; return how many named the person."""
        changed = 0
        for some in _chunks(names):
            for name, text in zip(some, values_of(self._redis, some), strict=True):
                answer = _parsed(text)
                if answer is None or not _names(answer, person):
                    continue
                changed += 1
                if self._dry_run:
                    continue
                if person.is_named(answer):
                    self._unlink([name, self._seen(user_id, name)])
                    if self._holds(self._keys.answers(user_id), "zset"):
                        self._redis.zrem(self._keys.answers(user_id), name)
                else:
                    now = json.dumps(_left(answer, person), ensure_ascii=False)
                    self._redis.set(name, now, xx=True, keepttl=True)
        return changed

    def _answers(self, user_id: str) -> list[str]:
        """The keys of a user's answers, also those of replays; searched for if the index is incomplete.

        Under an event id that two users have sent is the answer of the one who came first, and both indexes name it.
        """
        mine, found = canonical(user_id), list[str]()
        for some in _chunks(self._indexed(self._keys.answers(user_id), user_id)):
            for name, text in zip(some, values_of(self._redis, some), strict=True):
                answer = _parsed(text)
                if answer is None or canonical(str(answer["user_id"])) == mine:
                    found.append(name)
        return found

    def _indexed(self, index: str, of: str | _Person) -> list[str]:
        """The keys in an index; if it is incomplete, searched for: those of a user, or those that name a person."""
        kind = self._redis.type(index)
        noted = cast(list[str], self._redis.zrange(index, 0, -1)) if kind == "zset" else []
        ours = [name for name in noted if name.startswith(self._keys.prefix)]
        # The mark of an incomplete index is not a key of ours either, so it also leads to a search.
        if kind == "none" or (kind == "zset" and len(ours) == len(noted)):
            return ours
        return list({*ours, *self._search(of)})

    def _search(self, of: str | _Person) -> Iterator[str]:
        prefix = _literal(self._keys.prefix)
        for kind in ("result:", "enrolment:", "replay:"):
            names = list(self._redis.scan_iter(match=f"{prefix}{kind}*", count=_SCANNED_AT_ONCE))
            for some in _chunks(names):
                for name, text in zip(some, values_of(self._redis, some), strict=True):
                    answer = _parsed(text) or {}
                    if _names(answer, of) if isinstance(of, _Person) else answer.get("user_id") == of:
                        yield name

    def _latest(self, user_id: str) -> Iterator[str]:
        return self._beginning(self._keys.latest(user_id, ""))

    def _beginning(self, text: str) -> Iterator[str]:
        """The keys that begin so."""
        return self._redis.scan_iter(match=_literal(text) + "*", count=_SCANNED_AT_ONCE)

    def _seen(self, user_id: str, answer: str) -> str:
        return self._keys.seen(user_id, answer.rpartition(":")[2])

    def _unlink(self, names: Sequence[str]) -> int:
        removed = 0
        for some in _chunks(names):
            pipeline = self._redis.pipeline(transaction=False)
            for name in some:
                pipeline.exists(name) if self._dry_run else pipeline.unlink(name)
            removed += sum(pipeline.execute())
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


def _names(answer: Json | None, person: _Person) -> bool:
    """Whether an answer names somebody: as claimed, recognised, a candidate, or similar to another subject."""
    if answer is None:
        return False
    faces = answer.get("faces", [])
    candidates = [candidate for face in faces for candidate in face["candidates"]]
    return person.is_named(answer, _SIMILAR) or any(map(person.is_named, (answer, *faces, *candidates)))


def _left(answer: Json, person: _Person) -> Json:
    """An answer about others, without somebody."""
    if person.is_named(answer, _SIMILAR):
        return answer | {_SIMILAR: None, "detail": None}
    return answer | {"faces": [_without(face, person) for face in answer["faces"]]}


def _without(face: Json, person: _Person) -> Json:
    """A face of an answer, without somebody."""
    candidates = [candidate for candidate in face["candidates"] if not person.is_named(candidate)]
    if person.is_named(face):
        nobody = {"subject_id": None, "user_id": None}
        face = face | nobody | {"decision": Decision.REFUSED.value, "reason": Reason.ERASED.value}
    return face | {"candidates": candidates, "ambiguous": face.get("ambiguous", False) and len(candidates) > 1}
