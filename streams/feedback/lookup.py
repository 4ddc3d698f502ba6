"""Finds the current answer to a frame: in Redis, in BigQuery, or on the topic ``matches``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from google.auth.exceptions import GoogleAuthError
from google.cloud.bigquery import ScalarQueryParameter

from schemas import codec
from schemas.as_json import to_json
from schemas.errors import CodecError
from schemas.ids import canonical
from schemas.ingest import Mode
from schemas.parts import Quality, Source
from schemas.results import Match
from sinks.base import SinkUnavailable
from sinks.bigquery import Address, run_query
from sinks.bigquery.query import QueryFailed
from sinks.redis import RedisResults, ResultsUnavailable
from streams.feedback.errors import FeedbackRefused
from streams.kafka.log_reader import LogReader, newest_first
from streams.kafka.messages import Message
from streams.kafka.topics import Topic
from streams.settings import Settings

log = logging.getLogger(__name__)

_STEP = 1_000
"""Offsets of each partition in the first piece that is read from the end of the topic."""
_REPEATED = timedelta(hours=1)
"""If a producer sends an event twice, the second time comes within this time."""
_AWAY = (ResultsUnavailable, SinkUnavailable, QueryFailed, GoogleAuthError)


@dataclass(frozen=True, slots=True)
class AnsweredFace:
    """One face and its decision; landmarks are five points, x and y, in pixels."""

    decision: str
    subject_id: str | None
    landmarks: list[float]
    quality: Quality


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a frame that was produced at ``produced_at``; faces in the match's order, largest first."""

    event_id: str
    user_id: str
    model_version: str
    source: Source
    faces: list[AnsweredFace]
    produced_at: datetime


def find(settings: Settings, event_id: str) -> Answer:
    """The answer to a frame. A service that does not answer is passed over.

    Raises:
        FeedbackRefused: there is no answer, or it is one to a search over all users.
        KafkaUnavailable: it is in no other service, and no broker answers.
    """
    places: list[Callable[[Settings, str], Mapping[str, Any] | None]] = [_in_redis, _in_bigquery, _on_the_topic]
    for place in places:
        try:
            found = place(settings, event_id)
        except _AWAY as error:
            log.info("the match of %s cannot be looked for there: %s", event_id, error)
            continue
        if found is not None:
            return answer_in(found)
    raise FeedbackRefused(
        f"there is no match of the event {event_id}: not in Redis, not in BigQuery, and not on the topic "
        f"{Topic.MATCHES.named(settings)}. Give the event_id of a frame that has been answered"
    )


def _in_redis(settings: Settings, event_id: str) -> Mapping[str, Any] | None:
    results = RedisResults.of(settings)
    try:
        return results.result(event_id)
    finally:
        results.close()


def _in_bigquery(settings: Settings, event_id: str) -> Mapping[str, Any] | None:
    dataset = Address(
        settings.bigquery_project, settings.bigquery_dataset, settings.bigquery_rest, settings.bigquery_grpc
    )
    rows = run_query(
        dataset.rest_client(),
        "SELECT event_id, user_id, model_version, faces, produced_at, "
        "source_topic, source_partition, source_offset "
        "FROM results WHERE event_id = @id",
        [ScalarQueryParameter("id", "STRING", event_id)],
        dataset=dataset.dataset_id,
    ).rows
    if not rows:
        return None
    (row,) = rows
    return row | {"source": {name: row[f"source_{name}"] for name in ("topic", "partition", "offset")}}


def _on_the_topic(settings: Settings, event_id: str) -> Mapping[str, Any] | None:
    """The newest correction, or else the first live answer, as in the view ``results``.

    The topic is read backwards from its end; once an answer is found, only as far as the frame may have been sent
    twice.
    """
    live: Match | None = None
    at = 0
    with LogReader(settings, Topic.MATCHES) as topic:
        for ranges in newest_first(topic.since({}), _STEP):
            first: Match | None = None
            oldest_ms: dict[int, int] = {}
            corrected: Match | None = None
            for message in topic.messages(ranges):
                oldest_ms.setdefault(message.source.partition, message.timestamp_ms)
                if (match := _match(message, event_id)) is None:
                    continue
                if match.replay_id is not None:
                    corrected = match if match.corrects else corrected
                elif first is None:
                    first, at = match, message.source.partition
            if corrected is not None:
                return to_json(corrected)
            live = first or live
            if live is not None:
                since = live.timings.produced_at - _REPEATED
                if oldest_ms.get(at, 0) < 1000 * since.timestamp():
                    break
    return None if live is None else to_json(live)


def _match(message: Message, event_id: str) -> Match | None:
    """The answer to this frame in a message; None if it is another's."""
    if codec.event_id(message.value) != event_id:
        return None
    with suppress(CodecError):
        return codec.decode(message.value, Match)
    return None


def answer_in(found: Mapping[str, Any]) -> Answer:
    """The answer in a match as JSON, or in the columns that are needed of its row.

    Raises:
        FeedbackRefused: it is one to a search over all users, or to an upload.
    """
    if "faces" not in found:
        raise FeedbackRefused(f"{found['event_id']} is an enrolment photo: feedback is about the match of a frame")
    if found.get("mode") == Mode.SEARCH:
        raise FeedbackRefused(f"{found['event_id']} is a search over all users: feedback is about one user's subjects")
    faces = cast(list[Mapping[str, Any]], found["faces"])
    return Answer(
        event_id=found["event_id"],
        user_id=canonical(found["user_id"]),
        model_version=found["model_version"],
        source=Source(**found["source"]),
        faces=[
            AnsweredFace(one["decision"], _subject(one), list(one["landmarks"]), Quality(**one["quality"]))
            for one in faces
        ],
        produced_at=_time(found["produced_at"] if "produced_at" in found else found["timings"]["produced_at"]),
    )


def _time(value: str | datetime) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)


def _subject(face: Mapping[str, Any]) -> str | None:
    """The subject that was recognised; earlier releases may have stored another spelling."""
    name: str | None = face["subject_id"]
    return None if name is None else canonical(name)
