"""A Kafka message as facestream reads it, and the partition it comes from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import aiokafka
import confluent_kafka
from confluent_kafka import OFFSET_INVALID

from schemas.partition import TopicPartition as TopicPartition


class _ClientPartition(Protocol):
    """The type of a client library for a partition."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...


def from_client(partition: _ClientPartition) -> TopicPartition:
    """A partition as Faust, aiokafka or confluent-kafka gave it."""
    return TopicPartition(partition.topic, partition.partition)


def to_aiokafka(partition: TopicPartition) -> aiokafka.TopicPartition:
    """A partition as aiokafka takes it, and as Faust does (its ``TP`` is equal to it)."""
    return aiokafka.TopicPartition(partition.topic, partition.partition)


def to_confluent(
    partition: TopicPartition, offset: int = OFFSET_INVALID, metadata: str = ""
) -> confluent_kafka.TopicPartition:
    """A partition as confluent-kafka takes it, with the offset and the commit's metadata where the call needs them."""
    if not metadata:
        return confluent_kafka.TopicPartition(partition.topic, partition.partition, offset)
    return confluent_kafka.TopicPartition(partition.topic, partition.partition, offset, metadata)


@dataclass(frozen=True, slots=True)
class Message:
    """One Kafka message as it was read."""

    source: TopicPartition
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = field(default=())

    @property
    def size_bytes(self) -> int:
        """Bytes of key and value, and roughly what Python needs around them."""
        return len(self.key or b"") + len(self.value or b"") + 1024


def as_read(message: confluent_kafka.Message) -> Message:
    """The client library's message, of which it declares every part optional, as ours."""
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    if topic is None or partition is None or offset is None:
        raise ValueError("a consumed message without topic, partition or offset")
    headers = cast(list[tuple[str, bytes | None]], message.headers() or [])
    key: Any = message.key()
    return Message(
        TopicPartition(topic, partition), offset, message.timestamp()[1], key, message.value(), tuple(headers)
    )
