"""Counts open dead letters: messages that could not be processed and were neither sent back nor dismissed."""

from __future__ import annotations

from collections.abc import Iterator

from streams.dead_letters.store import DeadLetterStatus, read_newest_records
from streams.kafka.connection import KafkaUnavailable
from streams.kafka.topics import TopicMissing
from streams.operations.doctor.finding import Finding, ok, warn
from streams.operations.doctor.remedies import Remedy
from streams.settings import Settings
from streams.text import pluralize

_ENOUGH = 20_000
_LIMIT_S = 5.0


def check(settings: Settings) -> Iterator[Finding]:
    """Count open dead letters among the newest, within a time limit: of many it is enough to know that.

    Nothing is said where the check of Kafka says that it or a topic is away.
    """
    try:
        last = read_newest_records(settings, _ENOUGH, _LIMIT_S)
    except (KafkaUnavailable, TopicMissing):
        return
    standings, at_least = last.standings, "" if last.all_of_them else "at least "
    if count := standings[DeadLetterStatus.OPEN]:
        yield warn(
            "dead letters",
            f"{at_least}{pluralize(count, 'message')} could not be processed and {'is' if count == 1 else 'are'} open",
            Remedy.DEAD_LETTERS(),
        )
    else:
        seen = f", of {standings.total()} that were looked at" if at_least else ""
        yield ok("dead letters", f"none is open{seen}")
