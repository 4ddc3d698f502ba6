"""Where a sink's worker goes on reading."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import replace

import confluent_kafka
from confluent_kafka import KafkaException, TopicPartition

from sinks.base import Again, Partition, Position, SinkUnavailable
from streams.groups import commits
from streams.kafka import KafkaUnavailable
from streams.settings import Settings

log = logging.getLogger(__name__)

_TIMEOUT_S = 10.0


def positions_of(
    consumer: confluent_kafka.Consumer,
    partitions: Sequence[TopicPartition],
    settings: Settings,
    group: str,
    from_end: Collection[str],
) -> list[Position]:
    """Where reading goes on: the committed offset, or the first message that is still there.

    Of the topics ``from_end`` it is the end, where nothing was committed.

    Raises:
        SinkUnavailable: Kafka does not tell.
    """
    try:
        committed = commits(settings, group)
        positions = []
        for one in partitions:
            known = committed.get((one.topic, one.partition))
            if known is None:
                first, end = consumer.get_watermark_offsets(one, timeout=_TIMEOUT_S)
                offset = end if one.topic in from_end else first
                positions.append(Position(Partition(one.topic, one.partition), offset, ""))
            else:
                positions.append(Position(Partition(one.topic, one.partition), known.offset, known.note.text))
    except (KafkaException, KafkaUnavailable) as error:
        raise SinkUnavailable(f"Kafka does not tell the committed offsets: {error}") from error
    return positions


def moved_back(consumer: confluent_kafka.Consumer, position: Position, again: Again | None) -> Position:
    """The position from which to read again what the service has lost.

    Raises:
        SinkUnavailable: Kafka does not tell.
    """
    if again is None:
        return position
    partition = position.partition
    since_ms = round((time.time() - again.age_s) * 1000)
    try:
        found = consumer.offsets_for_times(
            [TopicPartition(partition.topic, partition.number, since_ms)], timeout=_TIMEOUT_S
        )
    except KafkaException as error:
        raise SinkUnavailable(f"Kafka does not tell offsets by time: {error}") from error
    oldest = found[0].offset if found[0].offset >= 0 else position.offset
    offset = min(position.offset, max(again.offset, oldest))
    log.warning("%s %d is read again from %d", partition.topic, partition.number, offset)
    return replace(position, offset=offset)
