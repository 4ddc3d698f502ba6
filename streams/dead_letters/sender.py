"""What a sink's worker sends, such as dead letters. Nothing is committed before it is delivered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import confluent_kafka
from confluent_kafka import KafkaException

from schemas.dead_letters import DeadLetter
from sinks.base import SinkUnavailable
from streams import traces
from streams.dead_letters.records import encoded, tell
from streams.kafka.connection import make_producer
from streams.kafka.topics import Topic
from streams.roles import Role
from streams.settings import Settings

_DELIVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message, for a partition that is known."""

    topic: str
    key: bytes | None
    value: bytes | None
    partition: int


class Outbox:
    """Sends, and returns when the brokers have all of it; for one thread. What is sent twice does no harm."""

    def __init__(self, role: Role, settings: Settings) -> None:
        self._role = role
        self._topic = Topic.DEAD_LETTERS.named(settings)
        self._limit = Topic.DEAD_LETTERS.max_message_bytes(settings)
        self._producer = make_producer(settings, {"message.max.bytes": settings.max_message_bytes + 2**20})

    def letters(self, letters: Sequence[DeadLetter]) -> None:
        """Deliver dead letters, without the values of those that are too large with them.

        Raises:
            SinkUnavailable: not all of them were taken; all are to be sent again.
        """
        self.send([Outgoing(self._topic, *encoded(letter, self._limit), letter.partition) for letter in letters])
        tell(letters)

    def send(self, messages: Sequence[Outgoing]) -> None:
        """Deliver messages.

        Raises:
            SinkUnavailable: not all of them were taken; all are to be sent again.
        """
        failed: list[str] = []

        def told(error: confluent_kafka.KafkaError | None, _: confluent_kafka.Message) -> None:
            if error is not None:
                failed.append(error.str())

        try:
            for one in messages:
                self._producer.produce(
                    one.topic,
                    one.value,
                    one.key,
                    one.partition,
                    on_delivery=told,
                    headers=traces.headers(one.value),
                )
        except (KafkaException, BufferError) as error:
            failed.append(str(error))
        if self._producer.flush(_DELIVERY_S) or failed:
            self._producer.purge()
            self._producer.flush(1.0)
            raise SinkUnavailable(f"Kafka does not take a message: {failed[0] if failed else 'it does not answer'}")
