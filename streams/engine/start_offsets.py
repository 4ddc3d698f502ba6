"""Where a sink's worker goes on reading."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import confluent_kafka
from confluent_kafka import KafkaException

from sinks.base import Position, RewindRequest, SinkUnavailable
from streams.kafka.connection import KafkaUnavailable, admin_client
from streams.kafka.consumer_groups import commits
from streams.kafka.messages import TopicPartition, to_confluent
from streams.kafka.topic_identity import is_void, topic_identities
from streams.settings import Settings

log = logging.getLogger(__name__)

_TIMEOUT_S = 10.0


class StartOffsets:
    """Asks Kafka for one group, with the consumer of one worker; for the worker's thread."""

    def __init__(
        self, settings: Settings, group: str, consumer: confluent_kafka.Consumer, from_end: Collection[str]
    ) -> None:
        """A group that has never committed anything begins at the end of the topics ``from_end``."""
        self._settings = settings
        self._group = group
        self._consumer = consumer
        self._from_end = from_end
        self._admin = admin_client(settings)

    def topic_ids(self, partitions: Sequence[TopicPartition]) -> dict[str, str]:
        """The ids of the partitions' topics, of those that exist.

        Raises:
            SinkUnavailable: Kafka does not tell.
        """
        try:
            found = topic_identities(self._admin, {one.topic for one in partitions})
        except KafkaUnavailable as error:
            raise SinkUnavailable(str(error)) from error
        return {name: one.topic_id for name, one in found.items()}

    def positions(self, partitions: Sequence[TopicPartition], topic_ids: Mapping[str, str]) -> list[Position]:
        """Where reading goes on: the committed offset, or the first message that is still there.

        A committed offset of an earlier topic than the one with this id does not count.

        Raises:
            SinkUnavailable: Kafka does not tell.
        """
        try:
            committed = commits(self._settings, self._group)
            positions = []
            for one in partitions:
                known = committed.get(one)
                first, end = self._consumer.get_watermark_offsets(to_confluent(one), timeout=_TIMEOUT_S)
                if known is not None and is_void(known.offset, known.note, topic_ids.get(one.topic), end):
                    log.warning("%s/%d was created again: read from the beginning", one.topic, one.partition)
                    positions.append(Position(one, first, known.note.text, renewed=True))
                elif known is None:
                    # Kafka drops the offsets of a topic that is deleted: then the group has others.
                    offset = end if one.topic in self._from_end and not committed else first
                    positions.append(Position(one, offset, ""))
                else:
                    positions.append(Position(one, known.offset, known.note.text, renewed=known.note.copied))
        except (KafkaException, KafkaUnavailable) as error:
            raise SinkUnavailable(f"Kafka does not tell the committed offsets: {error}") from error
        return positions

    def rewind(self, position: Position, request: RewindRequest) -> Position:
        """The position from which to read again what the service has lost.

        Raises:
            SinkUnavailable: Kafka does not tell.
        """
        partition = position.partition
        since_ms = round((time.time() - request.age_s) * 1000)
        try:
            found = self._consumer.offsets_for_times([to_confluent(partition, since_ms)], timeout=_TIMEOUT_S)
        except KafkaException as error:
            raise SinkUnavailable(f"Kafka does not tell offsets by time: {error}") from error
        oldest = found[0].offset if found[0].offset >= 0 else position.offset
        offset = min(position.offset, max(request.offset, oldest))
        log.warning("%s %d is read again from %d", partition.topic, partition.partition, offset)
        return replace(position, offset=offset)
