"""Sees the answers to replayed events on the topics behind the workers, and live ones beside them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import confluent_kafka
from confluent_kafka import KafkaException

from schemas import codec
from schemas.dead_letters import DeadLetter
from schemas.errors import CodecError
from schemas.results import Enrolment, Match
from streams.kafka.connection import KafkaUnavailable, consumer, metadata
from streams.kafka.messages import TopicPartition, to_confluent
from streams.kafka.topics import Topic
from streams.settings import Settings

_TIMEOUT_S = 15.0
_RECENT_S = 30.0
_AT_ONCE = 500
_DECODE_EVERY_S = 0.005


@dataclass(frozen=True, slots=True)
class MonitoredResult:
    """An event was answered: one of the replay, by its id, or another one (None), and how long that took if known."""

    event_id: str | None
    took_s: float | None = None


class ResultsMonitor:
    """Follows matches, enrolments and dead letters from now on; a context manager."""

    def __init__(self, settings: Settings, replay_id: str) -> None:
        """Learn where the topics end now, and whether something has come in the last half minute.

        Raises:
            KafkaUnavailable: no broker answers.
        """
        self._mark = replay_id.encode()
        self._letters = Topic.DEAD_LETTERS.named(settings)
        self._kinds: dict[str, type[Match] | type[Enrolment]] = {
            Topic.MATCHES.named(settings): Match,
            Topic.ENROLMENTS.named(settings): Enrolment,
        }
        self._decode_at = 0.0
        self._consumer = consumer(
            settings,
            f"facestream-replay-{uuid.uuid4()}",
            {
                "fetch.wait.max.ms": 100,
                "fetch.message.max.bytes": settings.max_message_bytes,
            },
        )
        names = {topic.named(settings) for topic in (Topic.MATCHES, Topic.ENROLMENTS, Topic.DEAD_LETTERS)}
        there = metadata(self._consumer, settings).topics
        parts = [TopicPartition(name, number) for name in names if name in there for number in there[name].partitions]
        since_ms = round((time.time() - _RECENT_S) * 1000)
        try:
            asked = [to_confluent(one, since_ms) for one in parts]
            recent = self._consumer.offsets_for_times(asked, timeout=_TIMEOUT_S)
            starts = [
                to_confluent(one, self._consumer.get_watermark_offsets(to_confluent(one), timeout=_TIMEOUT_S)[1])
                for one in parts
            ]
        except KafkaException as error:
            self._consumer.close()
            raise KafkaUnavailable(f"the topics of results cannot be read: {error.args[0].str()}") from error
        self.live_before = any(one.offset >= 0 for one in recent)
        self._consumer.assign(starts)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._consumer.close()

    def new(self, timeout_s: float) -> Iterator[MonitoredResult]:
        """The answers that have come; waits for the first."""
        found = self._consumer.consume(1, timeout_s) if timeout_s else []
        for message in [*found, *self._consumer.consume(_AT_ONCE, 0)]:
            value = message.value()
            if message.error() is not None or value is None:
                continue
            if self._mark not in value:
                yield MonitoredResult(None, self._took_s(message, value))
            elif message.topic() != self._letters:
                yield MonitoredResult(codec.event_id(value))
            else:
                yield MonitoredResult(_event_id_of_letter(value))

    def _took_s(self, message: confluent_kafka.Message, value: bytes) -> float | None:
        """From the event's first message to its answer, by the brokers' clocks; None for some, if there are many."""
        event_type = self._kinds.get(message.topic() or "")
        if event_type is None or time.monotonic() < self._decode_at:
            return None
        self._decode_at = time.monotonic() + _DECODE_EVERY_S
        try:
            event = codec.decode(value, event_type)
        except CodecError:
            return None
        if event.replay_id is not None:
            return None
        return message.timestamp()[1] / 1000 - event.timings.produced_at.timestamp()


def _event_id_of_letter(value: bytes) -> str | None:
    try:
        return codec.event_id(codec.decode(value, DeadLetter).value)
    except CodecError:
        return None
