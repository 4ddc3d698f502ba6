"""Parts of a sink's worker without Kafka: messages, and what stands for the sink and the consumer."""

from __future__ import annotations

from collections.abc import Sequence

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException

from schemas import codec
from schemas.clock import utc_now
from schemas.erasure import Erasure
from schemas.ids import new_event_id
from schemas.registry import Event
from sinks.base import Delivery
from streams.kafka.messages import Message, TopicPartition, from_client
from streams.roles import Role
from tests.sinks.examples import match

MATCHES = TopicPartition("matches", 0)
ERASURES = TopicPartition("erasures", 0)


def message(event: Event, offset: int = 0, source: TopicPartition = MATCHES, at_ms: int = 1_000) -> Message:
    key: str = getattr(event, "user_id", "")
    return Message(source, offset, at_ms, key.encode(), codec.encode(event))


def erasure(user_id: str = "ursula", stage: str | None = Role.MATCH) -> Erasure:
    return Erasure(new_event_id(), user_id, utc_now(), stage=stage)


def results(*users: str) -> tuple[list[Delivery], dict[tuple[TopicPartition, int], Message]]:
    """A match of each user, one behind the other, and their messages."""
    events = [match(user_id=user) for user in users]
    deliveries = [Delivery(MATCHES, n, event) for n, event in enumerate(events)]
    return deliveries, {(MATCHES, n): message(event, n) for n, event in enumerate(events)}


class Consumer:
    """Takes commits, or refuses so many of them first."""

    def __init__(self, refuses: int = 0) -> None:
        self.refuses = refuses
        self.committed: list[dict[TopicPartition, tuple[int, str]]] = []

    def commit(self, *, offsets: Sequence[confluent_kafka.TopicPartition], asynchronous: bool) -> None:
        assert not asynchronous
        if self.refuses:
            self.refuses -= 1
            raise KafkaException(KafkaError(KafkaError.ILLEGAL_GENERATION))
        self.committed.append({from_client(one): (one.offset, one.metadata) for one in offsets})


class OpenErasures:
    """Erasures that are open, by partition number."""

    topic = ERASURES.topic

    def __init__(self) -> None:
        self.offsets: dict[int, int] = {}

    def first(self, number: int) -> int | None:
        return self.offsets.get(number)
