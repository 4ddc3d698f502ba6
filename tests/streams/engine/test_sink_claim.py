"""Partitions are taken over in an order that shuts predecessors out before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from sinks.base import Position, RewindRequest, SinkUnavailable
from streams.engine.held_results import HeldResults
from streams.engine.sink_claim import SinkClaim
from streams.engine.sink_commits import SinkCommits
from streams.engine.sink_progress import SinkProgress
from streams.kafka.commit_metadata import CommitMetadata
from streams.kafka.messages import TopicPartition
from streams.observability.heartbeat import WorkerHeartbeat
from streams.privacy.erasures import Erasures
from streams.roles import Role
from tests.streams.engine.sink_parts import ERASURES, MATCHES, Consumer, OpenErasures


class Worker:
    """Kafka, a sink and an eraser that note the order in which they are asked."""

    def __init__(self, refuses: int = 0) -> None:
        self.order: list[str] = []
        self.requests: dict[TopicPartition, RewindRequest] = {}
        self.assigned: list[Position] = []
        self.consumer, self.erasures = Consumer(refuses), OpenErasures()
        progress = SinkProgress(HeldResults(), self.erasures)
        commits = SinkCommits(self.consumer, progress, WorkerHeartbeat(Role.SINK_REDIS), lambda one: one.topic, 1.0)
        topics = frozenset({MATCHES.topic})
        self.claim = SinkClaim(self, topics, self, self, Erasures(), progress, commits)  # type: ignore[arg-type]

    def topic_ids(self, partitions: Sequence[TopicPartition]) -> dict[str, str]:
        self.order.append("ids")
        return {one.topic: f"id of {one.topic}" for one in partitions}

    def positions(self, partitions: Sequence[TopicPartition], topic_ids: dict[str, str]) -> list[Position]:
        self.order.append("positions")
        assert topic_ids.keys() == {one.topic for one in partitions}
        return [Position(one, 40, "a note") for one in partitions]

    def rewind(self, position: Position, request: RewindRequest) -> Position:
        self.order.append("rewind")
        return replace(position, offset=request.offset)

    def assign(self, positions: Sequence[Position]) -> Mapping[TopicPartition, RewindRequest]:
        self.order.append("assign")
        self.assigned = list(positions)
        return self.requests

    def catch_up(self, positions: list[Position], erased: Erasures) -> None:
        self.order.append("catch up")
        for n, one in enumerate(positions):
            if one.partition == ERASURES:
                positions[n] = replace(one, offset=44)
                self.erasures.offsets[0] = 41


def test_the_sink_is_assigned_what_it_knows_and_erasures_are_caught_up() -> None:
    worker = Worker()
    assert worker.claim.take_over([MATCHES, ERASURES]) == {MATCHES: 40, ERASURES: 44}
    assert worker.order == ["ids", "positions", "assign", "catch up"]
    assert worker.assigned == [Position(MATCHES, 40, "a note")]
    (committed,) = worker.consumer.committed
    assert {one: offset for one, (offset, _) in committed.items()} == {MATCHES: 40, ERASURES: 41}, "41 is open"
    note = CommitMetadata.parse(committed[MATCHES][1])
    assert (note.text, note.topic_id) == ("matches", "id of matches")


def test_what_the_service_lost_is_read_again() -> None:
    worker, other = Worker(), TopicPartition("matches", 1)
    worker.requests = {MATCHES: RewindRequest(12, 60.0)}
    assert worker.claim.take_over([MATCHES, other]) == {MATCHES: 12, other: 40}
    (committed,) = worker.consumer.committed
    assert committed[MATCHES][0] == 12


def test_a_commit_that_is_refused_is_no_claim() -> None:
    worker = Worker(refuses=1)
    with pytest.raises(SinkUnavailable, match="does not take the commit"):
        worker.claim.take_over([MATCHES])
    assert worker.claim.take_over([MATCHES]) == {MATCHES: 40}
