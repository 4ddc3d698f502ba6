"""Reads a long part of one partition as fast as the client can: keys and values, thousands at once."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException

from streams.kafka.cluster_settings import ClusterSettings
from streams.kafka.connection import KafkaUnavailable, consumer
from streams.kafka.messages import TopicPartition, to_confluent

_AT_ONCE = 5_000
_WAIT_S = 0.5
_SILENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Records:
    """Some records in their order, and the offset behind them: what lies between may be marks of transactions."""

    entries: list[tuple[bytes, bytes | None]]
    next_offset: int


def read_bulk(settings: ClusterSettings, source: TopicPartition, first: int, end: int) -> Iterator[Records]:
    """The records from offset ``first`` on, before ``end``; from the first that is still there.

    Args:
        settings: of the cluster.
        source: the partition.
        first: the offset to begin at.
        end: the offset to end at; nothing is waited for beyond it.

    Raises:
        KafkaUnavailable: the brokers do not answer, or something there cannot be read.
    """
    reader = consumer(
        settings,
        f"facestream-bulk-{uuid.uuid4()}",
        {
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "fetch.message.max.bytes": 8 * 2**20,
            "queued.max.messages.kbytes": 64 * 1024,
            "fetch.wait.max.ms": 50,
        },
    )
    try:
        reader.assign([to_confluent(source, first)])
        heard, next_offset = time.monotonic(), first
        while next_offset < end:
            entries: list[tuple[bytes, bytes | None]] = []
            for message in reader.consume(_AT_ONCE, _WAIT_S):
                error, offset = message.error(), message.offset() or 0
                if error is not None:
                    if error.code() != KafkaError._PARTITION_EOF:
                        raise KafkaUnavailable(f"{source.topic} {source.partition} cannot be read: {error.str()}")
                    next_offset = max(next_offset, offset)
                elif offset < end:
                    entries.append((message.key() or b"", message.value()))
                    next_offset = offset + 1
                else:
                    next_offset = end
            if entries or next_offset >= end:
                heard = time.monotonic()
                yield Records(entries, min(next_offset, end))
            elif time.monotonic() - heard > _SILENCE_S:
                raise KafkaUnavailable(f"{source.topic} {source.partition} gives nothing behind offset {next_offset}")
    except KafkaException as error:
        raise KafkaUnavailable(f"{source.topic} {source.partition} cannot be read: {error.args[0].str()}") from error
    finally:
        reader.close()
