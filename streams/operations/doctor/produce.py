"""Checks that Kafka takes a record and returns it, which a broker that answers may fail to do."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException

from streams.kafka.connection import consumer, make_producer
from streams.kafka.messages import as_read, to_confluent
from streams.kafka.rights import is_of_rights
from streams.kafka.topic_admin import TopicDescription
from streams.kafka.topics import Topic
from streams.operations.doctor.finding import Finding, fail, ok
from streams.operations.doctor.remedies import Remedy
from streams.settings import Settings

_LIMIT_S = 10.0
_KEY = b"facestream-doctor"


def check(settings: Settings, states: Sequence[TopicDescription]) -> Iterator[Finding]:
    """Write a record to each partition of ``replays`` and read it.

    It has a key and no value, so that whoever reads the topic finds nothing, and compaction removes it.
    """
    state = next(state for state in states if state.topic is Topic.REPLAYS)
    if not state.exists:
        return
    try:
        began = time.monotonic()
        written = _write(settings, state)
        _read(settings, state.name, written)
    except KafkaException as error:
        text, rights = error.args[0].str(), is_of_rights(error.args[0])
        remedy = Remedy.KAFKA_RIGHTS(who="this user", topic=state.name) if rights else Remedy.BROKERS_LOGS()
        yield fail("kafka writes", f"{state.name} cannot be written to and read: {text}", remedy)
    else:
        took = time.monotonic() - began
        yield ok("kafka writes", f"a record was written and read in {took:.1f} s")


def _write(settings: Settings, state: TopicDescription) -> list[confluent_kafka.TopicPartition]:
    """Write the records; return their places.

    Raises:
        KafkaException: a partition did not take one.
    """
    written: list[confluent_kafka.TopicPartition] = []
    failed: list[KafkaError] = []

    def delivered(error: KafkaError | None, message: confluent_kafka.Message) -> None:
        if error is not None:
            failed.append(error)
        else:
            read = as_read(message)
            written.append(to_confluent(read.source, read.offset))

    producer = make_producer(
        settings, {"enable.idempotence": False, "message.timeout.ms": int(1000 * _LIMIT_S), "linger.ms": 0}
    )
    for number in range(state.partitions):
        producer.produce(state.name, None, _KEY, number, on_delivery=delivered)
    producer.flush(2 * _LIMIT_S)
    if failed or len(written) < state.partitions:
        raise KafkaException(failed[0] if failed else KafkaError(KafkaError._TIMED_OUT))
    return written


def _read(settings: Settings, topic: str, written: list[confluent_kafka.TopicPartition]) -> None:
    """Read the records.

    Raises:
        KafkaException: one did not come.
    """
    with closing(consumer(settings, f"facestream-doctor-{uuid.uuid4()}", {})) as reader:
        reader.assign(written)
        left = {one.partition for one in written}
        deadline = time.monotonic() + _LIMIT_S
        while left:
            message = reader.poll(0.2)
            if message is not None and (error := message.error()) is not None and is_of_rights(error):
                raise KafkaException(error)
            if message is not None and message.error() is None:
                left.discard(message.partition() or 0)
            elif time.monotonic() > deadline:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
