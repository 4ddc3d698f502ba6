"""A BigQuery sink, driven as the consumer loop drives it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import tenacity

from schemas.dead_letters import DeadLetter
from schemas.partition import TopicPartition
from schemas.results import Enrolment, Match
from sinks.base import Delivery, Position, Result, SinkFenced, SinkUnavailable
from sinks.bigquery import Address, BigQuerySink
from tests.waiting import wait_until

KINDS: dict[str, type[Result]] = {"matches": Match, "enrolments": Enrolment, "dead-letters": DeadLetter}
PARTITIONS = [TopicPartition(topic, number) for topic in KINDS for number in range(2)]


class Worker:
    """A sink, driven as the consumer loop drives it; ``committed`` is what the group's commits hold, shared."""

    def __init__(self, address: Address, committed: dict[TopicPartition, str], timeout_s: float = 10.0) -> None:
        self.sink = BigQuerySink(address, KINDS, timeout_s)
        self.committed = committed
        self.owned: list[TopicPartition] = []

    def take_over(self, partitions: Sequence[TopicPartition] = PARTITIONS) -> Worker:
        """Take partitions over; as in the consumer loop, a server that is slow to answer is asked again."""
        positions = [Position(one, 0, self.committed.get(one, "")) for one in partitions]
        again = tenacity.retry_if_exception_type(SinkUnavailable)
        tenacity.Retrying(retry=again, stop=tenacity.stop_after_attempt(3), reraise=True)(self.sink.assign, positions)
        self.committed.update({one: self.sink.note(one) for one in partitions})
        self.owned = list({*self.owned, *partitions})
        return self

    def give_up(self, partitions: Sequence[TopicPartition]) -> None:
        self.sink.revoke(partitions)
        self.owned = [one for one in self.owned if one not in partitions]

    def write(self, batch: Sequence[Delivery]) -> None:
        """Write until it is done, as the present owner of its partitions."""

        def done() -> bool:
            try:
                self.sink.write(batch)
            except SinkFenced:
                with suppress(SinkUnavailable):
                    self.take_over(self.owned)
            except SinkUnavailable:
                return False
            else:
                return True
            return False

        wait_until(done)
