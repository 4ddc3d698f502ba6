"""What a sink cannot do now is repeated, with pauses that grow, until it answers or the partitions are gone."""

from __future__ import annotations

import pytest

from sinks.base import RejectedRow, Rejection, SinkFenced, SinkUnavailable
from streams.engine.sink_retry import SinkRetry
from streams.observability.heartbeat import WorkerHeartbeat
from streams.roles import Role
from tests.sinks.examples import delivery, match

REJECTED = RejectedRow([Rejection(delivery(match()), "never")])


class Gone(Exception):
    """The partitions are."""


class Worker:
    """Notes what happens, in order; its sink raises these one after the other, and then answers."""

    def __init__(self, *errors: Exception, gone_after: int = 100) -> None:
        self.happened: list[str | float] = []
        self.errors = list(errors)
        self.heartbeat = WorkerHeartbeat(Role.SINK_REDIS)
        self._gone_after = gone_after

    def wait(self, seconds: float) -> None:
        assert self.heartbeat.waiting is not None, "it is told of before it is waited for"
        assert self.heartbeat.busy_since is None
        self.happened.append(seconds)
        self._gone_after -= 1
        if self._gone_after < 0:
            raise Gone

    def act(self) -> None:
        assert self.heartbeat.busy_since is not None
        self.happened.append("act")
        if self.errors:
            raise self.errors.pop(0)

    def run(self) -> None:
        retry = SinkRetry(self.heartbeat, self.wait, lambda: self.happened.append("resume"))
        retry.until_available(self.act, "writing")


def away(times: int) -> list[Exception]:
    return [SinkUnavailable("away") for _ in range(times)]


def test_an_attempt_that_succeeds_waits_for_nothing() -> None:
    worker = Worker()
    worker.run()
    assert worker.happened == ["act"]
    assert (worker.heartbeat.waiting, worker.heartbeat.busy_since) == (None, None)


def test_it_waits_longer_each_time_and_then_resumes() -> None:
    worker = Worker(*away(7))
    worker.run()
    assert [one for one in worker.happened if isinstance(one, float)] == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert worker.happened[-2:] == ["act", "resume"]
    assert worker.happened.count("resume") == 1
    assert worker.heartbeat.waiting is None


def test_it_gives_up_when_the_partitions_are_gone() -> None:
    worker = Worker(*away(7), gone_after=1)
    with pytest.raises(Gone):
        worker.run()
    assert worker.happened == ["act", 0.2, "act", 0.4], "and resumes nothing, which is another worker's now"
    assert worker.heartbeat.busy_since is None


def test_what_was_paused_is_resumed_when_the_sink_rejects_after_a_wait() -> None:
    worker = Worker(*away(1), REJECTED)
    with pytest.raises(RejectedRow):
        worker.run()
    assert worker.happened == ["act", 0.2, "act", "resume"]


@pytest.mark.parametrize(
    ("errors", "happened"),
    [
        ([RejectedRow(REJECTED.rejections)], ["act"]),
        ([*away(1), SinkFenced("lost")], ["act", 0.2, "act"]),
        ([ValueError()], ["act"]),
    ],
)
def test_other_errors_are_raised_at_once(errors: list[Exception], happened: list[str | float]) -> None:
    worker = Worker(*errors)
    with pytest.raises(type(errors[-1])):
        worker.run()
    assert worker.happened == happened
    assert worker.heartbeat.busy_since is None
