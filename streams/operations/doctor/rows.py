"""Tables of BigQuery that lack what the sink has written: somebody deleted or emptied them."""

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
"""How many of the oldest messages of each partition are looked for: what is gone is gone from the beginning."""

_FEW = 20
"""A smaller share than one of so many is not taken for a loss."""


def check(settings: Settings) -> Iterator[Finding]:
    """Look for the oldest messages that Kafka has; nothing is said where other checks say that something is away."""
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
