"""Tables of BigQuery that lack what the sink has written: somebody deleted or emptied them."""

from __future__ import annotations

from collections.abc import Iterator

from sinks.base import SinkUnavailable
from sinks.bigquery.query import QueryFailed
from streams.checks.finding import Finding, ok, warn
from streams.checks.remedies import Remedy
from streams.kafka import KafkaUnavailable
from streams.settings import Settings
from streams.topics import TopicMissing
from streams.written_log import missing, topics_of_tables

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
