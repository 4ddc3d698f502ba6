"""Single records that somebody waits for: how a replay, a run or a model version stands; what was said of a face."""

from __future__ import annotations

import confluent_kafka
from confluent_kafka import KafkaException

from streams.kafka import KafkaUnavailable, client_config
from streams.settings import Settings
from streams.topics import Topic

_DELIVERY_S = 30.0
_BY_KEY = -1
"""librdkafka's word for "the partition that the key belongs to"."""


class RecordWriter:
    """Writes to one topic; for one thread."""

    def __init__(self, settings: Settings, topic: Topic) -> None:
        """Connects when it first writes."""
        self._topic = topic.named(settings)
        self._producer = confluent_kafka.Producer(
            client_config(settings)
            | {
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
                "acks": "all",
                "message.timeout.ms": int(1000 * _DELIVERY_S),
            }
        )

    def write(self, key: str, value: bytes, partition: int | None = None) -> None:
        """Write a record, to the partition of its key if none is given, and wait until the brokers have it.

        Raises:
            KafkaUnavailable: it is not known whether they have; records are such that writing one again does no harm.
        """
        failed: list[str] = []

        def report(error: confluent_kafka.KafkaError | None, _: confluent_kafka.Message) -> None:
            if error is not None:
                failed.append(error.str())

        to = _BY_KEY if partition is None else partition
        try:
            self._producer.produce(self._topic, value, key.encode(), to, on_delivery=report)
        except (KafkaException, BufferError) as error:
            raise KafkaUnavailable(f"{self._topic} did not take {key}: {error}") from error
        if self._producer.flush(2 * _DELIVERY_S) or failed:
            raise KafkaUnavailable(f"{self._topic} did not take {key}: {', '.join(failed) or 'no answer'}")
