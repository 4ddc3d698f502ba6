"""Reads messages again of which a stage has kept only the positions, outside its consumer group."""

from __future__ import annotations

import uuid

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException

from streams.kafka.connection import KafkaUnavailable, consumer
from streams.kafka.messages import Message, TopicPartition, as_read, to_confluent
from streams.settings import Settings

_AT_ONCE = 64
_MOST_MESSAGES = 1024
_MOST_BYTES = 16 * 2**20
_SILENCE_S = 10.0


class ContentReader:
    """Reads a few megabytes from a position on; for one thread at a time."""

    def __init__(self, settings: Settings) -> None:
        """Connects when it is first asked."""
        self._settings = settings
        self._consumer: confluent_kafka.Consumer | None = None
        self._position: tuple[TopicPartition, int] | None = None

    def read(self, source: TopicPartition, offset: int) -> tuple[list[Message], int]:
        """The messages from an offset on that is known to have one, or had, and the offset up to which they were read.

        Raises:
            KafkaUnavailable: none came in time.
        """
        client = self._connected()
        if self._position != (source, offset):
            client.assign([to_confluent(source, offset)])
        self._position = None
        found: list[Message] = []
        size = 0
        while size < _MOST_BYTES and len(found) < _MOST_MESSAGES:
            got = client.consume(_AT_ONCE, 0.05 if found else _SILENCE_S)
            if not got and found:
                break
            if not got:
                raise KafkaUnavailable(f"{source} cannot be read again from offset {offset}: no answer in time")
            for message in got:
                if (error := message.error()) is not None:
                    if error.code() == KafkaError._AUTO_OFFSET_RESET:
                        return found, self._first_offset(client, source)
                    if error.fatal() or not error.retriable():
                        raise KafkaUnavailable(f"{source} cannot be read again from offset {offset}: {error.str()}")
                    continue
                found.append(as_read(message))
                size += found[-1].size_bytes
        end = found[-1].offset + 1
        self._position = source, end
        return found, end

    def close(self) -> None:
        """Disconnect."""
        if self._consumer is not None:
            self._consumer.close()

    def _connected(self) -> confluent_kafka.Consumer:
        if self._consumer is None:
            options = {
                "auto.offset.reset": "error",
                "fetch.message.max.bytes": 4 * 2**20,
                "queued.max.messages.kbytes": 32 * 1024,
                "fetch.wait.max.ms": 10,
            }
            self._consumer = consumer(self._settings, f"facestream-contents-{uuid.uuid4()}", options)
        return self._consumer

    def _first_offset(self, client: confluent_kafka.Consumer, source: TopicPartition) -> int:
        """Where the log begins, after the position that was asked for was removed from it."""
        try:
            low, _ = client.get_watermark_offsets(to_confluent(source), timeout=_SILENCE_S)
        except KafkaException as error:
            raise KafkaUnavailable(f"{source}: where it begins is not known: {error.args[0].str()}") from error
        return int(low)
