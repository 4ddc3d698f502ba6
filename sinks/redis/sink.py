"""Writes matches and enrolments to Redis: one pipeline per batch, each event once.

Two things make it safe to write a batch again, by this worker or by a zombie that wakes up late. An answer is set by
event id only if it is absent. Everything that a watcher sees (stream, channel, latest, subjects) is done atomically by
one script, which leaves a marker for the event. A replay's answers have keys of their own and are not announced. A
correcting replay replaces the answer of the event, and the camera's latest match if that is of the same event. Answers
to searches over all users are not announced: they name people of other users, and are kept under their event ids only.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import redis

from schemas.as_json import time_text, to_json
from schemas.erasure import ErasedPhoto
from schemas.ingest import Mode
from schemas.partition import TopicPartition
from schemas.parts import Decision
from schemas.results import Enrolment, Match, Outcome
from schemas.sightings import Sighting
from sinks.base import Delivery, Position, RejectedRow, Rejection, RewindRequest, SinkFenced, SinkUnavailable
from sinks.redis.address import RedisAddress
from sinks.redis.cluster import Cluster
from sinks.redis.connection import connect
from sinks.redis.erase import Eraser
from sinks.redis.errors import blames_key, explained
from sinks.redis.keys import INCOMPLETE, Keys
from sinks.redis.marks import Marks, number_in
from sinks.redis.replicas import await_replicas
from sinks.redis.sightings import SightingEraser, show

_ANNOUNCE = (Path(__file__).parent / "announce.lua").read_text("utf-8")
_CORRECT = (Path(__file__).parent / "correct.lua").read_text("utf-8")
_INDEX = (Path(__file__).parent / "index.lua").read_text("utf-8")
Answer = Match | Enrolment
"""What Redis holds under an event id."""
Written = Answer | Sighting
"""What Redis holds."""

_FOR_EVER_S = 10 * 365 * 86_400.0
_STRENGTH = [Decision.MATCH, Decision.NO_MATCH, Decision.UNKNOWN, Decision.REFUSED]


class RedisSink:
    """A :class:`sinks.base.Sink` of matches and enrolments for a Redis-protocol server, Redis ≥ 6.2 or Valkey.

    ``result_ttl_s`` is how long an answer is kept by event id, and how long a second writing of it is recognised;
    ``stream_length`` how many answers a user's live stream keeps, roughly; ``lasting`` names topics whose events leave
    more than answers, the subjects of a user, so that a Redis that has lost them is given all again that Kafka has.
    """

    def __init__(
        self,
        server: RedisAddress | str,
        prefix: str = "facestream:",
        result_ttl_s: int = 86_400,
        stream_length: int = 1_000,
        answer_timeout_s: float = 5.0,
        lasting: Collection[str] = (),
    ) -> None:
        """Connects with the first batch."""
        self._redis = connect(server, answer_timeout_s)
        self._keys = Keys(prefix)
        self._marks = Marks(self._redis, self._keys)
        self._ttl_s = result_ttl_s
        self._stream_length = stream_length
        self._lasting = frozenset(lasting)
        self._sha = ""
        self._written: dict[TopicPartition, int] = {}

    def assign(self, positions: Sequence[Position]) -> Mapping[TopicPartition, RewindRequest]:
        """Find out whether Redis still has what was written; what is written twice is recognised event by event."""
        try:
            if renewed := [one.partition for one in positions if one.renewed]:
                self._marks.forget(renewed)
            found = self._marks.read([position.partition for position in positions])
        except redis.RedisError as error:
            raise SinkUnavailable(explained(error)) from error
        again = {}
        for position, written in zip(positions, found, strict=True):
            self._written[position.partition] = written
            if written < number_in(position.note) and not position.renewed:
                lasts = position.partition.topic in self._lasting
                again[position.partition] = RewindRequest(written, _FOR_EVER_S if lasts else self._ttl_s)
        return again

    def revoke(self, partitions: Sequence[TopicPartition]) -> None:
        """Forget how far they were written."""
        for partition in partitions:
            self._written.pop(partition, None)

    def note(self, partition: TopicPartition) -> str:
        """How far the partition was written, by which a successor sees whether Redis still has it."""
        return str(self._written.get(partition, 0))

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def check(self) -> None:
        """Notice a Redis that has lost what was written, though nobody writes now."""
        partitions = list(self._written)
        if not partitions:
            return
        try:
            found = self._marks.read(partitions)
        except redis.RedisError as error:
            raise SinkUnavailable(explained(error)) from error
        for partition, written in zip(partitions, found, strict=True):
            if written < self._written[partition]:
                raise SinkFenced(f"Redis has lost results of {partition.topic} {partition.partition}")

    def erase(
        self,
        user_id: str,
        subject_id: str | None,
        *,
        erasure_id: str | None = None,
        wanted: Callable[[], bool] = lambda: True,
    ) -> dict[str, int]:
        """Remove a user, or every answer that names a subject; see :class:`sinks.base.Sink`."""
        eraser, sightings = Eraser(self._redis, self._keys), SightingEraser(self._redis, self._keys)
        try:
            removed = eraser.user(user_id) if subject_id is None else eraser.subject(user_id, subject_id)
            removed |= {"sightings": sightings.erase(user_id, subject_id)}
            await_replicas(self._redis, self._keys)
            return removed
        except redis.RedisError as error:
            raise SinkUnavailable(explained(error)) from error

    def erase_photo(
        self,
        user_id: str,
        subject_id: str,
        photo: ErasedPhoto,
        *,
        erasure_id: str,
        wanted: Callable[[], bool] = lambda: True,
    ) -> dict[str, int]:
        """Remove the answers to uploads of a photo, and count the subject's anew; see :class:`sinks.base.Sink`."""
        try:
            removed = Eraser(self._redis, self._keys).photo(user_id, subject_id, photo)
            await_replicas(self._redis, self._keys)
            return removed
        except redis.RedisError as error:
            raise SinkUnavailable(explained(error)) from error

    def erase_in_searches(
        self,
        user_id: str,
        subject_id: str | None,
        *,
        erasure_id: str,
        partition: int,
        wanted: Callable[[], bool] = lambda: True,
    ) -> dict[str, int]:
        """Take a user or a subject out of answers to searches; see :class:`sinks.base.Sink`."""
        try:
            removed = Eraser(self._redis, self._keys).in_searches(user_id, subject_id)
            await_replicas(self._redis, self._keys)
            return removed
        except redis.RedisError as error:
            raise SinkUnavailable(explained(error)) from error

    def write(self, batch: Sequence[Delivery[Written]]) -> None:
        """Write a batch of matches, enrolments and sightings with one pipeline.

        Raises:
            SinkFenced: the server has lost what was written before.
            SinkUnavailable: the server is away, loading, read-only, out of memory or busy.
            RejectedRow: somebody else has put something of another type under a key.
            TypeError: an event is neither a match nor an enrolment nor about a sighting.
        """
        try:
            self._write(batch)
        except redis.RedisError as error:
            raise SinkUnavailable(explained(error)) from error

    def _write(self, batch: Sequence[Delivery[Written]]) -> None:
        if not self._sha:
            self._sha = self._redis.script_load(_ANNOUNCE)
        pipeline = self._redis.pipeline(transaction=False)
        next_offsets = {delivery.partition: delivery.offset + 1 for delivery in batch}
        # First the indexes: an answer that a worker wrote last of all is found there if its user is erased next.
        senders = self._index(pipeline, batch)
        """The deliveries of each command."""
        answers: list[object] = []
        if isinstance(self._redis, Cluster):  # whose shards do not wait for each other
            answers += pipeline.execute(raise_on_error=False)
            self._judge(senders, answers)
        kept: dict[int, str] = {}
        """Keys of answers that are written unless they are there, by the number of the command."""
        for delivery in batch:
            event = delivery.event
            if isinstance(event, Sighting):
                show(pipeline, self._keys, event, self._ttl_s, self._stream_length)
                senders.append([delivery])
                continue
            if not isinstance(event, Match | Enrolment):
                raise TypeError(f"{type(event).__name__} is not for Redis")
            text = json.dumps(to_json(event), ensure_ascii=False)
            if event.replay_id is not None and event.corrects:
                senders += [[delivery]] * self._correct(pipeline, event, event.replay_id, text)
                continue
            kept[len(senders)] = self._keys.answer(event)
            pipeline.set(self._keys.answer(event), text, nx=True, ex=self._ttl_s)
            senders.append([delivery])
            if event.replay_id is None and not (isinstance(event, Match) and event.mode is Mode.SEARCH):
                self._announce(pipeline, event, text)
                senders.append([delivery])
        answers += pipeline.execute(raise_on_error=False)
        self._judge(senders, answers)
        self._check_kept({key: senders[number][0] for number, key in kept.items() if answers[number] is None})
        if lost := self._marks.advance(next_offsets, self._written):
            raise SinkFenced(f"Redis has lost results of {lost[0].topic} {lost[0].partition}")
        self._written.update(next_offsets)

    def _index(self, pipeline: Any, batch: Sequence[Delivery[Written]]) -> list[list[Delivery[Written]]]:
        """Index the answers by user, so that they are found when the user is to be erased; one command per index.

        An answer to a search is indexed by the users that it names too.
        """
        now = time.time()
        by_index: dict[str, dict[str, Delivery[Written]]] = {}
        for delivery in batch:
            event = delivery.event
            if not isinstance(event, Match | Enrolment):
                continue  # a sighting is found by the name of its stream
            kept_at = self._keys.answer(replace(event, replay_id=None) if event.corrects else event)
            for index in (self._keys.answers(event.user_id), *map(self._keys.named, _named_users(event))):
                by_index.setdefault(index, {})[kept_at] = delivery
        for index, names in by_index.items():
            pipeline.eval(_INDEX, 1, index, now, now - self._ttl_s, self._ttl_s, INCOMPLETE, *names)
        return [list(names.values()) for names in by_index.values()]

    def _check_kept(self, there: Mapping[str, Delivery[Written]]) -> None:
        """See whether what is there already, and kept an answer from being written, is an answer."""
        if not there:
            return
        pipeline = self._redis.pipeline(transaction=False)
        for key in there:
            pipeline.get(key)
        rejections = []
        for (key, delivery), text in zip(there.items(), pipeline.execute(raise_on_error=False), strict=True):
            if isinstance(text, Exception) and not blames_key(text):
                raise text
            event = cast(Answer, delivery.event)
            if text is not None and (isinstance(text, Exception) or event.event_id not in text):
                rejections.append(Rejection(delivery, f"Redis: {key} holds something else: delete it"))
        if rejections:
            raise RejectedRow(rejections)

    def _announce(self, pipeline: Any, event: Match | Enrolment, text: str) -> None:
        kind, subject_key, first, second, fields = (
            ("match", self._keys.latest(event.user_id, event.camera_id), *_order(event), _match_fields(event))
            if isinstance(event, Match)
            else ("enrolment", self._keys.subjects(event.user_id), *_templates(event), _enrolment_fields(event))
        )
        seen, live = self._keys.seen(event.user_id, event.event_id), self._keys.live(event.user_id)
        settings = (self._ttl_s, self._stream_length, live)
        pipeline.evalsha(self._sha, 3, seen, live, subject_key, *settings, kind, text, first, second, *fields)

    def _correct(self, pipeline: Any, event: Match | Enrolment, replay_id: str, text: str) -> int:
        """Put a correction in its places; how many commands that takes."""
        if isinstance(event, Match):
            correction = (text, replay_id, time_text(event.matched_at))
            pipeline.eval(_CORRECT, 1, self._keys.result(event.event_id), self._ttl_s, *correction)
            latest = self._keys.latest(event.user_id, event.camera_id)
            pipeline.eval(_CORRECT, 1, latest, 0, *correction, event.event_id)
            return 2
        correction = (text, replay_id, time_text(event.decided_at))
        pipeline.eval(_CORRECT, 1, self._keys.enrolment(event.event_id), self._ttl_s, *correction)
        if event.outcome is not Outcome.ENROLLED:
            return 1
        pipeline.hset(self._keys.subjects(event.user_id), event.subject_id, event.templates)
        return 2

    def _judge(self, senders: Sequence[Sequence[Delivery[Written]]], answers: Sequence[object]) -> None:
        """Sort the server's answers: all well, try again, or never."""
        rejections: dict[int, Rejection[Written]] = {}
        for deliveries, answer in zip(senders, answers, strict=True):
            if isinstance(answer, redis.exceptions.NoScriptError):
                self._sha = ""  # The server was restarted or flushed.
                raise answer
            if isinstance(answer, Exception):
                if not blames_key(answer):
                    raise answer
                rejections |= {id(one): Rejection(one, f"Redis: {answer}") for one in deliveries}
        if rejections:
            raise RejectedRow(list(rejections.values()))


def _named_users(event: Answer) -> set[str]:
    """The users whose subjects an answer to a search names; of other answers it is the user himself, and none here."""
    faces = event.faces if isinstance(event, Match) else []
    named = {face.user_id for face in faces} | {one.user_id for face in faces for one in face.candidates}
    return {user_id for user_id in named if user_id is not None}


def _order(match: Match) -> tuple[str, int]:
    """The key by which ``announce.lua`` decides which of two matches is newer."""
    return min(time_text(match.captured_at), time_text(match.timings.received_at)), match.sequence


def _templates(enrolment: Enrolment) -> tuple[str, int]:
    return (enrolment.subject_id if enrolment.outcome is Outcome.ENROLLED else "", enrolment.templates)


def _match_fields(match: Match) -> list[str | int]:
    """What a watcher wants without parsing the whole."""
    decisions = {face.decision for face in match.faces}
    decision = next((word for word in _STRENGTH if word in decisions), Decision.REFUSED)
    names = [face.subject_id for face in match.faces if face.decision is Decision.MATCH]
    return [
        *("event_id", match.event_id, "camera_id", match.camera_id, "decision", decision.value),
        *("subjects", json.dumps(names, ensure_ascii=False), "faces", len(match.faces)),
        *("reason", match.refusal.reason if match.refusal else ""),
    ]


def _enrolment_fields(enrolment: Enrolment) -> list[str | int]:
    return [
        *("event_id", enrolment.event_id, "subject_id", enrolment.subject_id, "decision", enrolment.outcome.value),
        *("templates", enrolment.templates, "reason", enrolment.refusal.reason if enrolment.refusal else ""),
    ]
