"""Every result of a batch comes to its end: in the sink, held until an erasure is done, or a dead letter."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from schemas.dead_letters import DeadLetter
from schemas.erasure import Erasure
from sinks.base import Delivery, RejectedRow, Rejection, SinkUnavailable
from streams.engine.held_results import HeldResults
from streams.engine.result_writer import ResultWriter
from streams.engine.sink_batch import SinkBatch
from streams.engine.sink_retry import SinkRetry
from streams.kafka.messages import Message
from streams.observability.heartbeat import WorkerHeartbeat
from streams.privacy.erasures import Erasures
from streams.roles import Role
from tests.streams.engine.sink_parts import ERASURES, erasure, message, results


class Worker:
    """What stands around the writer: a sink, a sender and an eraser that note what they are given."""

    def __init__(self) -> None:
        self.written: list[Delivery] = []
        self.rejects: set[int] = set()
        self.away = 0
        self.sent: list[DeadLetter] = []
        self.waiting: dict[str, int] = {}
        self.pauses = 0
        self.held, self.erased = HeldResults(), Erasures()
        retry = SinkRetry(WorkerHeartbeat(Role.SINK_REDIS), self.wait, lambda: None)
        self.writer = ResultWriter(Role.SINK_REDIS, self, self, self, self.erased, self.held, retry)  # type: ignore[arg-type]

    def write(self, batch: Sequence[Delivery]) -> None:
        if self.away:
            self.away -= 1
            raise SinkUnavailable("away")
        if found := [Rejection(one, "never") for one in batch if one.offset in self.rejects]:
            raise RejectedRow(found)
        self.written += batch

    def letters(self, letters: Sequence[DeadLetter]) -> None:
        self.sent += letters

    def add(self, message: Message, erasure: Erasure) -> None:
        assert not self.written, "erasures begin first"
        self.waiting[erasure.user_id] = message.offset

    def waits(self) -> set[str]:
        return set(self.waiting)

    def wait(self, seconds: float) -> None:
        self.pauses += 1
        if self.pauses == 3:
            self.waiting.clear()


def batch(*users: str, erased: Sequence[str] = (), erased_at_ms: int = 500) -> SinkBatch:
    """A match of each user at 1000 ms, and erasures before or behind them."""
    deliveries, messages = results(*users)
    gone = [(message(one := erasure(user), n, ERASURES, erased_at_ms), one) for n, user in enumerate(erased)]
    return SinkBatch(deliveries, gone, [], messages, {})


def test_a_batch_is_written_even_if_the_sink_is_away_at_first() -> None:
    worker, ours = Worker(), batch("ursula", "bert")
    worker.away = 2
    worker.writer.write(ours)
    assert (worker.written, worker.pauses, worker.sent) == (ours.deliveries, 2, [])
    worker.writer.write(SinkBatch())
    assert len(worker.written) == 2


def test_what_the_sink_rejects_is_a_dead_letter_and_the_others_are_written() -> None:
    worker, ours = Worker(), batch("ursula", "bert", "carla")
    worker.rejects = {0, 2}
    worker.writer.write(ours)
    assert [one.offset for one in worker.written] == [1]
    assert [(one.offset, one.stage, "never" in one.message) for one in worker.sent] == [
        (0, Role.SINK_REDIS, True),
        (2, Role.SINK_REDIS, True),
    ]


def test_what_could_not_be_read_is_sent_besides() -> None:
    worker, ours, letter = Worker(), batch("ursula"), object()
    ours.dead_letters.append(letter)  # type: ignore[arg-type]
    worker.writer.write(ours)
    assert (len(worker.written), worker.sent) == (1, [letter])


def test_what_came_before_an_erasure_is_written_no_more() -> None:
    worker = Worker()
    worker.writer.write(batch("ursula", "bert", erased=["ursula"], erased_at_ms=2_000))
    assert [one.offset for one in worker.written] == [1]
    assert (len(worker.held), worker.waiting) == (0, {"ursula": 0})


def test_what_came_after_an_erasure_waits_for_it() -> None:
    worker, ours = Worker(), batch("ursula", "bert", "ursula", erased=["ursula"])
    worker.writer.write(ours)
    assert [one.offset for one in worker.written] == [1]
    assert not worker.writer.write_released()
    worker.waiting.clear()
    assert worker.writer.write_released()
    assert [one.offset for one in worker.written] == [1, 0, 2]
    assert (len(worker.held), worker.writer.write_released()) == (0, False)


def test_what_waited_is_written_no_more_if_it_is_erased_meanwhile() -> None:
    worker = Worker()
    worker.writer.write(batch("ursula", erased=["ursula"]))
    worker.erased.add(erasure("ursula"), 2_000)
    worker.waiting.clear()
    assert worker.writer.write_released()
    assert (worker.written, len(worker.held)) == ([], 0)


def test_nothing_more_is_read_while_too_much_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.engine.result_writer._MOST_HELD", 2)
    worker = Worker()
    worker.writer.write(batch("ursula", "ursula", erased=["ursula"]))
    worker.writer.await_room()
    assert worker.pauses == 0
    worker.writer.write(batch("ursula", "ursula", "ursula"))
    worker.writer.await_room()
    assert (worker.pauses, worker.waiting) == (3, {}), "until the erasure is done"
