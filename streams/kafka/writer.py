"""Single records that somebody waits for: how a replay, a run or a model version stands; what was said of a face."""

from __future__ import annotations

from collections.abc import Iterable

import confluent_kafka
from confluent_kafka import KafkaException

from streams.kafka.connection import KafkaUnavailable, make_producer
from streams.kafka.topics import Topic
from streams.settings import Settings

_DELIVERY_S = 30.0
_BY_KEY = -1
"""librdkafka's word for "the partition that the key belongs to"."""
_AT_ONCE = 10_000

Record = tuple[str, bytes | None, int | None]
"""Key, value and partition; no value removes what a compacted topic holds, no partition is that of the key."""


class RecordWriter:
    """Writes to one topic; for one thread."""

    def __init__(self, settings: Settings, topic: Topic) -> None:
        """Connects when it first writes."""
        self._topic = topic.named(settings)
        self._producer = make_producer(
            settings,
            {
                "message.timeout.ms": int(1000 * _DELIVERY_S),
            },
        )

    def write(self, key: str, value: bytes | None, partition: int | None = None) -> None:
        """Write a record; see :meth:`write_all`."""
        self.write_all([(key, value, partition)])

    def write_all(self, records: Iterable[Record]) -> None:
        """Write records, and wait until the brokers have them.

        Raises:
            KafkaUnavailable: it is not known whether they have; records are such that writing one again does no harm.
        """
        failed: list[str] = []

        def report(error: confluent_kafka.KafkaError | None, _: confluent_kafka.Message) -> None:
            if error is not None:
                failed.append(error.str())

        key = "anything"
        try:
            for number, (key, value, partition) in enumerate(records, 1):
                to = _BY_KEY if partition is None else partition
                self._producer.produce(self._topic, value, key.encode(), to, on_delivery=report)
                if number % _AT_ONCE == 0:
                    self._producer.flush(2 * _DELIVERY_S)
        except (KafkaException, BufferError) as error:
            raise KafkaUnavailable(f"{self._topic} did not take {key}: {error}") from error
        if self._producer.flush(2 * _DELIVERY_S) or failed:
            raise KafkaUnavailable(f"{self._topic} did not take {key}: {', '.join(failed[:1]) or 'no answer'}")
