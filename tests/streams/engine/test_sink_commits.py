"""Commits carry the sink's notes, and one that is refused is tried again."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaException

from streams.engine.held_results import HeldResults
from streams.engine.sink_commits import SinkCommits
from streams.engine.sink_progress import SinkProgress
from streams.kafka.commit_metadata import CommitMetadata
from streams.observability.heartbeat import WorkerHeartbeat
from streams.roles import Role
from tests.streams.engine.sink_parts import ERASURES, MATCHES, Consumer, OpenErasures

HOUR_S = 3600.0


class Worker:
    def __init__(self, refuses: int = 0, interval_s: float = HOUR_S) -> None:
        self.consumer = Consumer(refuses)
        self.progress = SinkProgress(HeldResults(), OpenErasures())
        self.heartbeat = WorkerHeartbeat(Role.SINK_BIGQUERY)
        self.commits = SinkCommits(
            self.consumer, self.progress, self.heartbeat, lambda one: f"note of {one.topic}", interval_s
        )


def test_a_commit_carries_the_note_and_the_topic_s_id() -> None:
    worker = Worker()
    worker.commits.topic_ids = {"matches": "an id"}
    worker.commits.commit({MATCHES: 4, ERASURES: 2})
    (committed,) = worker.consumer.committed
    assert {one: offset for one, (offset, _) in committed.items()} == {MATCHES: 4, ERASURES: 2}
    notes = {one: CommitMetadata.parse(text) for one, (_, text) in committed.items()}
    assert (notes[MATCHES].text, notes[MATCHES].topic_id) == ("note of matches", "an id")
    assert (notes[ERASURES].text, notes[ERASURES].topic_id) == ("note of erasures", None)
    assert set(worker.heartbeat.committed_at) == {MATCHES, ERASURES}


def test_what_is_done_is_committed_once() -> None:
    worker = Worker()
    worker.progress.read({MATCHES: 4})
    worker.commits.commit_done()
    worker.commits.commit_done()
    assert [{one: offset for one, (offset, _) in found.items()} for found in worker.consumer.committed] == [
        {MATCHES: 4}
    ]


def test_what_is_refused_is_committed_later() -> None:
    worker = Worker(refuses=1)
    worker.progress.read({MATCHES: 4})
    worker.commits.commit_done()
    assert (worker.consumer.committed, worker.heartbeat.committed_at) == ([], {})
    worker.commits.commit_done()
    assert len(worker.consumer.committed) == 1


def test_a_refused_commit_of_a_claim_is_told_of() -> None:
    with pytest.raises(KafkaException):
        Worker(refuses=1).commits.commit({MATCHES: 4})


def test_commits_keep_their_distance() -> None:
    worker = Worker()
    for offset in range(1, 9):
        worker.progress.read({MATCHES: offset})
        worker.commits.commit_regularly()
    assert [found[MATCHES][0] for found in worker.consumer.committed] == [1]
    often = Worker(interval_s=0.0)
    for offset in range(1, 9):
        often.progress.read({MATCHES: offset})
        often.commits.commit_regularly()
    assert [found[MATCHES][0] for found in often.consumer.committed] == list(range(1, 9))
