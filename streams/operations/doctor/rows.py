"""Finds tables of BigQuery that have lost rows, because somebody deleted or emptied them."""

from __future__ import annotations

from collections.abc import Iterator

from sinks.base import SinkUnavailable
from sinks.bigquery.query import QueryFailed
from streams.kafka.connection import KafkaUnavailable
from streams.kafka.topics import TopicMissing
from streams.operations.doctor.finding import Finding, ok, warn
from streams.operations.doctor.remedies import Remedy
from streams.operations.written_log import missing, topics_of_tables
from streams.settings import Settings

_OLDEST = 20
"""Messages of each partition whose rows are looked up; the oldest ones, since lost rows include the first ones."""

_FEW = 20
"""A share of missing rows below one in this number does not count as a loss."""


def check(settings: Settings) -> Iterator[Finding]:
    """Look up the rows of the oldest messages; a service that is away is reported by another check."""
    looked, complete = 0, True
    for table, topic in topics_of_tables().items():
        try:
            lacking, of = missing(settings, topic, _OLDEST)
        except (SinkUnavailable, QueryFailed, KafkaUnavailable, TopicMissing):
            complete = False
            continue
        looked += of
        # Single events that BigQuery did not take are dead letters.
        if lacking and (lacking == of or lacking > of // _FEW):
            complete = False
            yield warn(
                f"rows of {table}",
                f"of the {of} oldest messages that Kafka has and the sink has written {lacking} have no row: the table "
                "was deleted or emptied",
                Remedy.FILL(table=table),
            )
    if looked and complete:
        yield ok("rows", f"the {looked} oldest messages that Kafka has are in their tables")
