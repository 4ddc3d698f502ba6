"""The messages that the BigQuery sink has written and Kafka still has: they show whether a table has lost rows."""

from __future__ import annotations

from contextlib import closing, suppress

from schemas import codec
from schemas.clock import utc_now
from schemas.erasure import Erasure
from schemas.errors import CodecError
from sinks.base import Delivery, Result
from sinks.bigquery import Address
from sinks.bigquery.columns import micros
from sinks.bigquery.deduplicator import Deduplicator
from sinks.bigquery.history import History
from sinks.bigquery.rows import row_writer
from streams.kafka import decoding
from streams.kafka.consumer_groups import commits, group_id
from streams.kafka.decoding import decode
from streams.kafka.log_reader import LogReader
from streams.kafka.messages import Message, TopicPartition
from streams.kafka.topics import Topic
from streams.privacy.erasures import Erasures
from streams.roles import Role
from streams.settings import Settings
from streams.topology import BIGQUERY_EVENTS

_KEYS = 200_000
_TIMEOUT_S = 30.0


def topics_of_tables() -> dict[str, Topic]:
    """The topic of each table."""
    return {row_writer(event_type).table.name: topic for topic, event_type in BIGQUERY_EVENTS.items()}


def written_ranges(settings: Settings, topic: Topic) -> dict[int, tuple[int, int]]:
    """The committed offsets of the sink that Kafka still has: the first one and the next one of each partition.

    Raises:
        KafkaUnavailable: no broker answers.
        TopicMissing: there is no such topic.
    """
    name = topic.named(settings)
    with closing(LogReader(settings, topic)) as log:
        there = {one.partition: one for one in log.since({})}
    committed = commits(settings, group_id(Role.SINK_BIGQUERY, settings))
    ranges = {}
    for number, one in there.items():
        known = committed.get(TopicPartition(name, number))
        end = min(known.offset, one.end_offset) if known is not None else one.first_offset
        if end > one.first_offset:
            ranges[number] = (one.first_offset, end)
    return ranges


class ErasureLog:
    """The erasures that match has carried out; after them the sink writes nothing older."""

    def __init__(self, settings: Settings) -> None:
        """Connects at the first :meth:`update`."""
        self._log = LogReader(settings, Topic.ERASURES)
        self._next: dict[int, int] = {}
        self.known = Erasures()

    def update(self) -> bool:
        """Add the erasures since the last call; return whether there were any.

        Raises:
            KafkaUnavailable: no broker answers.
        """
        ranges = self._log.since(self._next)
        new_data = False
        for message in self._log.messages(ranges):
            with suppress(CodecError):
                erasure = codec.decode(message.value, Erasure)
                if erasure.stage == Role.MATCH:
                    self.known.add(erasure, message.timestamp_ms)
                    new_data = True
        self._next |= {one.partition: one.end_offset for one in ranges}
        return new_data

    def close(self) -> None:
        """Disconnect."""
        self._log.close()


def dataset(settings: Settings) -> Address:
    """The dataset of the tables."""
    return Address(settings.bigquery_project, settings.bigquery_dataset, settings.bigquery_rest, settings.bigquery_grpc)


def known_rows(settings: Settings, topic: Topic) -> Deduplicator:
    """The rows in the table of a topic, for partitions that were begun."""
    address, table = dataset(settings), row_writer(BIGQUERY_EVENTS[topic]).table
    return Deduplicator(History(address.rest_client(), address.dataset_id, table, _KEYS, _TIMEOUT_S))


def missing(settings: Settings, topic: Topic, at_most: int) -> tuple[int, int]:
    """Count the messages without a row, among the oldest of each partition that Kafka has and the sink has committed.

    Returns:
        The number without a row, and the number that was examined.

    Raises:
        SinkUnavailable: BigQuery does not answer.
        KafkaUnavailable, TopicMissing: see :func:`written_ranges`.
    """
    ranges = written_ranges(settings, topic)
    deliveries: list[Delivery[Result]] = []
    messages: dict[tuple[TopicPartition, int], Message] = {}
    with closing(LogReader(settings, topic)) as log:
        ends = {number: min(end, first + at_most) for number, (first, end) in ranges.items()}
        for message in log.messages(log.up_to(ends)):
            partition = TopicPartition(message.source.topic, message.source.partition)
            with suppress(decoding.InvalidMessage):
                deliveries.append(Delivery(partition, message.offset, decode(message, BIGQUERY_EVENTS[topic])))
                messages[partition, message.offset] = message
    if not deliveries:
        return 0, 0
    with closing(ErasureLog(settings)) as erasures:
        erasures.update()
        left = erasures.known.left(deliveries, messages)
    once = known_rows(settings, topic)
    for number in ranges:
        once.begin(number)
    return len(once.fresh(left, micros(utc_now()))), len(left)
