"""Read a topic as it is now, from its beginning to its present end, outside any consumer group."""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection, Iterator
from contextlib import closing
from typing import TypeVar

from confluent_kafka import OFFSET_BEGINNING, KafkaError, Message, TopicPartition

from schemas import codec
from schemas.errors import CodecError
from schemas.registry import Event
from streams.kafka.connection import KafkaUnavailable, consumer, metadata
from streams.kafka.log_reader import LOG_RECORDS
from streams.kafka.topics import Topic, TopicMissing
from streams.kafka.unreadable import ReadersUnreadable
from streams.settings import Settings

E = TypeVar("E", bound=Event)

_SILENCE_S = 15.0
_POLL_S = 1.0


def read_topic(settings: Settings, topic: Topic | str, partitions: Collection[int] | None = None) -> Iterator[Message]:
    """Every message that the topic, or these of its partitions, hold now; in order within a partition.

    A text is a whole name, of a changelog.

    Raises:
        KafkaUnavailable: no broker answers, or it stops answering.
        TopicMissing: there is no such topic.
    """
    name = topic.named(settings) if isinstance(topic, Topic) else topic
    group = f"facestream-reader-{uuid.uuid4()}"
    with closing(consumer(settings, group, {"enable.partition.eof": True})) as reader:
        there = metadata(reader, settings).topics
        if name not in there:
            raise TopicMissing(f"no topic {name} at {settings.kafka}: create it with `facestream topics create`")
        open_partitions = set(there[name].partitions)
        if partitions is not None:
            open_partitions &= set(partitions)
        reader.assign([TopicPartition(name, number, OFFSET_BEGINNING) for number in open_partitions])
        unreadable = ReadersUnreadable(settings, reader, name)
        heard, records = time.monotonic(), LOG_RECORDS.labels(name)
        while open_partitions:
            message = reader.poll(_POLL_S)
            error = None if message is None else message.error()
            if message is not None and unreadable.meets(message):
                open_partitions.difference_update(unreadable.numbers)
            elif message is not None and error is None:
                records.inc()
                yield message
            elif message is not None and error is not None and error.code() == KafkaError._PARTITION_EOF:
                open_partitions.discard(message.partition() or 0)
            elif time.monotonic() - heard > _SILENCE_S and unreadable.silent(open_partitions):
                open_partitions.difference_update(unreadable.numbers)
            elif time.monotonic() - heard > _SILENCE_S:
                why = f" ({error.str()})" if error else ""
                raise KafkaUnavailable(f"{settings.kafka} has stopped answering while {name} was read{why}")
            else:
                continue
            heard = time.monotonic()
        unreadable.tell()


def read_events(
    settings: Settings, topic: Topic, event_type: type[E], partitions: Collection[int] | None = None
) -> Iterator[tuple[Message, E]]:
    """Every event of a kind that the topic, or these of its partitions, hold now, and the message it is in.

    What is none is passed over.

    Raises:
        KafkaUnavailable, TopicMissing: see :func:`read_topic`.
    """
    for message in read_topic(settings, topic, partitions):
        try:
            event = codec.decode(message.value(), event_type)
        except CodecError:
            continue
        yield message, event
