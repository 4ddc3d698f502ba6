"""Fills topics as they are after months: many records of other people, with time stamps of the last days."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from confluent_kafka.admin import NewTopic

from schemas import codec
from schemas.clock import utc_now
from schemas.dead_letters import DeadLetter, Resolution, ResolutionState
from schemas.drift import Drift
from schemas.erasure import Erasure
from schemas.gallery import Template
from schemas.ingest import Consent
from schemas.learning import Chip, Feedback, Statement
from schemas.parts import Quality, Source
from schemas.replays import OffsetRange, Replay, ReplayState
from streams.kafka.connection import KafkaUnavailable, admin_client, make_producer
from streams.kafka.topic_specs import topic_specs
from streams.kafka.topics import Topic
from streams.matching.changelog import changelog_name, ensure_changelog
from streams.matching.gallery_shard import key_of
from streams.settings import Settings

DAYS = 6
"""The time over which the records are spread; the topics keep a week."""
VERSION = "bench-1"
QUALITY = Quality(score=0.9, size=60.0, sharpness=120.0, brightness=0.5, yaw=0.0, overall=0.75)
_DISTINCT = 1_000
"""Records that are made of each kind, and written repeatedly."""
_CREATE_S = 30.0
_FLUSH_S = 300.0

Record = tuple[bytes, bytes]
"""Key and value."""


def fill(settings: Settings, topic: Topic, count: int, partition: Callable[[int], int] | None = None) -> None:
    """Write records to a topic; ``partition`` gives the partition of each, None: that of its key."""
    _fill(settings, topic.named(settings), itertools.islice(_MADE[topic](), count), count, partition)


def fill_changelog(settings: Settings, count: int) -> None:
    """Write templates, each of another user and of one version."""
    ensure_changelog(admin_client(settings), settings, settings.partitions)
    _fill(settings, changelog_name(settings), itertools.islice(_templates(), count), count, None)


def fill_records(settings: Settings, name: str, records: Iterator[Record], count: int) -> None:
    """Write so many records of any kind to the partitions of their keys."""
    _fill(settings, name, records, count, None)


def create_topics(settings: Settings) -> None:
    """Create all topics with time stamps that the producer sets."""
    new = [
        NewTopic(one.name, one.partitions, one.replicas, config={**one.config, "message.timestamp.type": "CreateTime"})
        for one in topic_specs(settings)
    ]
    admin = admin_client(settings)
    for future in admin.create_topics(new, operation_timeout=_CREATE_S).values():
        future.result(_CREATE_S)


def template(number: int) -> Template:
    """The template of one enrolled user."""
    consent = Consent("benchmark", datetime.fromtimestamp(0, UTC))
    return Template(
        template_id=_id(number),
        user_id=f"user-{number}",
        subject_id=f"user-{number}",
        model_version=VERSION,
        vector=bytes(512),
        quality=QUALITY,
        consent=consent,
        source=Source("uploads", 0, number),
        enrolled_at=datetime.fromtimestamp(0, UTC),
    )


def _fill(
    settings: Settings, name: str, records: Iterator[Record], count: int, partition: Callable[[int], int] | None
) -> None:
    producer = make_producer(
        settings, {"enable.idempotence": False, "linger.ms": 50, "queue.buffering.max.messages": 200_000}
    )
    began_ms, step_ms = round(1000 * (time.time() - 24 * 3600 * DAYS)), 24 * 3600 * 1000 * DAYS / count
    for number, (key, value) in enumerate(records):
        to = -1 if partition is None else partition(number)
        while True:
            try:
                producer.produce(name, value, key, to, timestamp=round(began_ms + number * step_ms))
                break
            except BufferError:
                producer.poll(0.1)
        if not number % 1_000:
            producer.poll(0)
    if producer.flush(_FLUSH_S):
        raise KafkaUnavailable(f"{settings.kafka} has not taken {name} within {_FLUSH_S:g} s")


def _cycle(make: Callable[[int], Record]) -> Iterator[Record]:
    return itertools.cycle([make(number) for number in range(_DISTINCT)])


def _id(number: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, str(number)))


def _feedback() -> Iterator[Record]:
    def make(number: int) -> Record:
        user_id = f"user-{number}"
        feedback = Feedback(
            feedback_id=_id(number),
            event_id=_id(-number),
            user_id=user_id,
            face=0,
            statement=Statement.IS,
            subject_id=user_id,
            training=True,
            decision="match",
            model_version=VERSION,
            landmarks=[1.0] * 10,
            quality=QUALITY,
            source=Source("frames", 0, number),
            given_at=utc_now(),
        )
        return user_id.encode(), codec.encode(feedback)

    return _cycle(make)


def _erasures() -> Iterator[Record]:
    def make(number: int) -> Record:
        user_id = f"user-{number}"
        return user_id.encode(), codec.encode(Erasure(_id(number), user_id, utc_now(), "somebody"))

    return _cycle(make)


def _drift() -> Iterator[Record]:
    def make(number: int) -> Record:
        user_id = f"user-{number}"
        report = Drift(_id(number), user_id, "door", VERSION, 500, 1_000, False, [], utc_now(), utc_now())
        return user_id.encode(), codec.encode(report)

    return _cycle(make)


def _replays() -> Iterator[Record]:
    def make(number: int) -> Record:
        now, replay_id = utc_now(), f"replay-{number % 100}"
        ranges = [OffsetRange(0, 0, number, 2 * _DISTINCT)]
        state, times = ReplayState.STOPPED, (now, now)
        replay = Replay(replay_id, "frames", state, False, *times, [], [], ranges, 9, 1, 1.0, "here", *times)
        return replay_id.encode(), codec.encode(replay)

    return _cycle(make)


def _letters() -> Iterator[Record]:
    def make(number: int) -> Record:
        letter = DeadLetter(
            letter_id=_id(number),
            stage="embed",
            topic="frames",
            partition=0,
            offset=number,
            key=b"anna",
            value=b"no picture",
            headers=[],
            reason="unknown_schema",
            error_class="UnknownSchema",
            message="benchmark",
            attempt=1,
            failed_at=utc_now(),
        )
        return b"anna", codec.encode(letter)

    return _cycle(make)


def _resolutions() -> Iterator[Record]:
    def make(number: int) -> Record:
        sent = Resolution(_id(-number), _id(number), "d1", ResolutionState.SENT, "frames", utc_now())
        return sent.letter_id.encode(), codec.encode(sent)

    return _cycle(make)


def _chips() -> Iterator[Record]:
    now = utc_now()
    consent = Consent("benchmark", now, training=True)
    for number in itertools.count():
        user_id = f"user-{number % _DISTINCT}"
        place = Source("uploads", 0, number)
        chip = Chip(_id(number), user_id, user_id, bytes(500), VERSION, QUALITY, consent, place, now)
        yield chip.event_id.encode(), codec.encode(chip)


def _templates() -> Iterator[Record]:
    for number in itertools.count():
        one = template(number)
        yield key_of(one.user_id, one.template_id, one.model_version), codec.encode(one)


_MADE: dict[Topic, Callable[[], Iterator[Record]]] = {
    Topic.FEEDBACK: _feedback,
    Topic.ERASURES: _erasures,
    Topic.DRIFT: _drift,
    Topic.REPLAYS: _replays,
    Topic.DEAD_LETTERS: _letters,
    Topic.RESOLUTIONS: _resolutions,
    Topic.CHIPS: _chips,
}
