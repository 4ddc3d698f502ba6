"""Reads from the topic ``erasures`` who has been erased and when, so that no code brings an erased person back."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import TypeVar, cast

from schemas import codec
from schemas.dead_letters import DeadLetter, Resolution
from schemas.embeddings import Embedding, UploadOrigin
from schemas.erasure import Erasure
from schemas.errors import CodecError
from schemas.gallery import Template
from schemas.ids import canonical
from schemas.learning import Feedback
from schemas.parts import Decision
from schemas.reasons import Reason
from schemas.replays import OffsetRange
from schemas.results import Candidate, Enrolment, Match, MatchedFace
from schemas.rollout import Comparison
from schemas.sightings import Sighting
from sinks.base import Delivery, Result
from streams.kafka.log_reader import LogReader
from streams.kafka.messages import Message, TopicPartition
from streams.kafka.topics import Topic
from streams.roles import Role
from streams.settings import Settings

Personal = Result | Embedding
"""Events that may be of a person."""
E = TypeVar("E", bound=Personal)


class Erasures:
    """The erased users, subjects and photos, with the broker's time of the last record about each, in milliseconds."""

    def __init__(self) -> None:
        self._of_user: dict[str, dict[str | None, int]] = {}
        self._photos: dict[str, dict[tuple[str, str], int]] = {}
        """By user, then by subject and an event id or SHA-256 of the photo."""

    def add(self, erasure: Erasure, at_ms: int) -> None:
        """Take a record in."""
        if erasure.photo is not None:
            photos = self._photos.setdefault(erasure.user_id, {})
            for name in (*erasure.photo.event_ids, *erasure.photo.sha256):
                key = erasure.subject_id or "", name
                photos[key] = max(at_ms, photos.get(key, 0))
            return
        times = self._of_user.setdefault(erasure.user_id, {})
        times[erasure.subject_id] = max(at_ms, times.get(erasure.subject_id, 0))

    def update(self, other: Erasures) -> None:
        """Take in all that another one has."""
        for user_id, theirs in other._of_user.items():
            times = self._of_user.setdefault(user_id, {})
            times.update({name: max(at_ms, times.get(name, 0)) for name, at_ms in theirs.items()})
        for user_id, others in other._photos.items():
            photos = self._photos.setdefault(user_id, {})
            photos.update({key: max(at_ms, photos.get(key, 0)) for key, at_ms in others.items()})

    def left(
        self, deliveries: Iterable[Delivery[E]], messages: Mapping[tuple[TopicPartition, int], Message]
    ) -> list[Delivery[E]]:
        """What may be written of deliveries, whose messages are given by partition and offset."""
        left = []
        for one in deliveries:
            event = self._left_of(one.event, messages[one.partition, one.offset].timestamp_ms)
            if event is not None:
                left.append(one if event is one.event else replace(one, event=cast(E, event)))
        return left

    def _left_of(self, event: Personal, at_ms: int) -> Personal | None:
        """An event of that time without those who were erased then or later; None if it is about them alone."""
        if _is_refused(event):
            return None
        if isinstance(event, Match) and event.search is not None:
            at_ms = min(at_ms, round(event.search.asked_at.timestamp() * 1000))
            event = self._without_others(event, at_ms)
        if isinstance(event, Sighting):
            # It may tell of frames from before the erasure, however late it was written.
            at_ms = min(at_ms, round(event.first_produced_at.timestamp() * 1000))
        if isinstance(event, Enrolment) and self.covers_photo(
            at_ms, event.user_id, event.subject_id, event.event_id, event.repeats
        ):
            return None
        if (user_id := owner(event)) not in self._of_user:
            return event
        if isinstance(event, Embedding) and self.touches(at_ms, event.user_id):
            return None  # nothing in it says whose faces they are
        gone = {name for name in named(event) if self.covers(at_ms, user_id, [name])}
        if self.covers(at_ms, user_id):
            return None
        if isinstance(event, Enrolment) and event.subject_id not in gone:
            return replace(event, similar_subject_id=None, detail=None) if gone else event
        if isinstance(event, Match) and event.subject_id not in gone:
            people = {(None, name) for name in gone}
            return replace(event, faces=[_without(face, people) for face in event.faces]) if gone else event
        return None if gone else event

    def _without_others(self, match: Match, at_ms: int) -> Match:
        """The answer to a search without people of whatever user who were erased then or later."""
        people = {(one.user_id, one.subject_id) for one in _named_in(match)}
        gone = {(user, subject) for user, subject in people if user and subject and self.covers(at_ms, user, [subject])}
        return replace(match, faces=[_without(face, gone) for face in match.faces]) if gone else match

    def names(self, user_id: str) -> bool:
        """Whether the user, or any subject or photo of his, was ever erased."""
        return user_id in self._of_user or user_id in self._photos

    def touches(self, at_ms: int, user_id: str) -> bool:
        """Whether a user, or any subject of his, was erased then or later."""
        return any(at_ms <= at for at in self._of_user.get(user_id, {}).values())

    def covers(self, at_ms: int, user_id: str | None, subjects: Collection[str] = ()) -> bool:
        """Whether something of that time is of a user, or names a subject of his, that was erased then or later."""
        times = self._of_user.get(user_id or "", {})
        return any(at_ms <= times.get(name, -1) for name in (None, *subjects))

    def covers_photo(self, at_ms: int, user_id: str, subject_id: str, *names: str | None) -> bool:
        """Whether a photo of that time, by event ids and SHA-256, was erased then or later, but not its subject."""
        photos = self._photos.get(user_id, {})
        return any(at_ms <= photos.get((subject_id, name), -1) for name in names if name is not None)

    def covers_template(self, template: Template) -> bool:
        """Whether the user, the subject or the photo of a template was erased after it was enrolled."""
        at_ms, user_id, subject_id = _ms(template.enrolled_at), template.user_id, template.subject_id
        return self.covers(at_ms, user_id, [subject_id]) or self.covers_photo(
            at_ms, user_id, subject_id, template.template_id, template.picture_sha256
        )

    def covers_embedding(self, embedding: Embedding) -> bool:
        """Whether whom or what an embedding is about was erased after its picture was produced."""
        at_ms, user_id, origin = _ms(embedding.timings.produced_at), embedding.user_id, embedding.origin
        if isinstance(origin, UploadOrigin) and self.covers_photo(
            at_ms, user_id, origin.subject_id, embedding.event_id, origin.picture_sha256
        ):
            return True
        return self.covers(at_ms, user_id, () if origin.subject_id is None else (origin.subject_id,))


class NewErasures:
    """Requests (stage None), or the answers of one role: of each partition only what has come since the last look."""

    def __init__(self, settings: Settings, stage: str | None = None) -> None:
        """Connects when it is asked."""
        self._settings = settings
        self._stage = stage
        self._next: dict[int, int] = {}

    def of(self, partitions: Collection[int] | None = None) -> Erasures:
        """The new ones of these partitions; None: of all.

        Raises:
            KafkaUnavailable: no broker answers.
            TopicMissing: the topic has not been created.
        """
        erasures = Erasures()
        with LogReader(self._settings, Topic.ERASURES) as log:
            ranges = [one for one in log.since(self._next) if partitions is None or one.partition in partitions]
            for message, erasure in self._in(log, ranges):
                erasures.add(erasure, message.timestamp_ms)
        self._next |= {one.partition: one.end_offset for one in ranges}
        return erasures

    def since(self, positions: Mapping[int, int]) -> Iterator[tuple[Message, Erasure]]:
        """Those of some partitions from these offsets on, whether or not they are new.

        Raises:
            KafkaUnavailable, TopicMissing: see :meth:`NewErasures.of`.
        """
        with LogReader(self._settings, Topic.ERASURES) as log:
            yield from self._in(log, [one for one in log.since(positions) if one.partition in positions])

    def _in(self, log: LogReader, ranges: Sequence[OffsetRange]) -> Iterator[tuple[Message, Erasure]]:
        for message in log.messages(ranges):
            try:
                erasure = codec.decode(message.value, Erasure)
            except CodecError:
                continue
            if erasure.stage == self._stage or (self._stage is None and _tells_of_photo(erasure)):
                yield message, erasure


def read_erasures(settings: Settings, partitions: Collection[int] | None = None) -> Erasures:
    """All that was asked for; see :meth:`NewErasures.of`."""
    return NewErasures(settings).of(partitions)


def read_erasures_of(settings: Settings, user_id: str, since: datetime) -> Erasures:
    """What was asked for of one user from a time on.

    Raises:
        KafkaUnavailable, TopicMissing: see :meth:`NewErasures.of`.
    """
    erasures = Erasures()
    with LogReader(settings, Topic.ERASURES) as log:
        for message in log.messages(log.from_time(since)):
            with suppress(CodecError):
                erasure = codec.decode(message.value, Erasure)
                if erasure.stage is None and erasure.user_id == user_id:
                    erasures.add(erasure, message.timestamp_ms)
    return erasures


def _tells_of_photo(erasure: Erasure) -> bool:
    """Whether it is what match has said of a photo, with more than was known when it was asked for."""
    return erasure.photo is not None and erasure.stage == Role.MATCH


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def owner(event: Personal) -> str | None:
    """The user whom an event belongs to; None if it belongs to nobody."""
    if isinstance(event, DeadLetter):
        return None if event.key is None else canonical(event.key.decode(errors="replace"))
    return None if isinstance(event, Resolution) else event.user_id


def named(event: Personal) -> set[str]:
    """Which of its owner's subjects an event names."""
    names: set[str | None] = set()
    match event:
        case Match():
            names = {event.subject_id, *(one.subject_id for one in _named_in(event) if one.user_id is None)}
        case Comparison():
            names = {name for face in event.faces for name in (face.subject_id, face.shadow_subject_id)}
        case Enrolment():
            names = {event.subject_id, event.similar_subject_id}
        case Feedback():
            names = {event.subject_id, event.matched_subject_id}
        case Sighting():
            names = {event.subject_id}
    return {name for name in names if name is not None}


def _named_in(match: Match) -> Iterator[MatchedFace | Candidate]:
    """What names somebody in a match."""
    for face in match.faces:
        yield face
        yield from face.candidates


def _is_refused(event: Personal) -> bool:
    """Whether match has refused it, at whatever time, since it is about somebody who had been erased."""
    return isinstance(event, Match | Enrolment) and event.refusal is not None and event.refusal.reason == Reason.ERASED


def _without(face: MatchedFace, gone: Collection[tuple[str | None, str | None]]) -> MatchedFace:
    """A face without people, given by user (None: that of the frame) and subject."""
    if (face.user_id, face.subject_id) in gone:
        face = replace(face, decision=Decision.REFUSED, subject_id=None, user_id=None, reason=Reason.ERASED)
    left = [one for one in face.candidates if (one.user_id, one.subject_id) not in gone]
    return replace(face, candidates=left, ambiguous=face.ambiguous and len(left) > 1)
