"""A partition that stands still before its end is found, and not for ever."""

import pytest

from streams.engine import stall_detector as module
from streams.engine.stall_detector import StallDetector
from streams.kafka.messages import TopicPartition

ONE, TWO = TopicPartition("matches", 1), TopicPartition("matches", 2)


def test_what_moves_or_is_at_its_end_is_not_stalled() -> None:
    stalled = StallDetector()
    assert stalled.look({ONE: 5, TWO: 7}, {ONE: 9, TWO: 7}) == set()
    assert stalled.look({ONE: 6, TWO: 7}, {ONE: 9, TWO: 7}) == set()


def test_what_stands_before_its_end_is_stalled() -> None:
    stalled = StallDetector()
    stalled.look({ONE: 5, TWO: 7}, {ONE: 9, TWO: 7})
    assert stalled.look({ONE: 5, TWO: 7}, {ONE: 9, TWO: 8}) == {ONE}
    assert stalled.look({ONE: 9, TWO: 7}, {ONE: 9, TWO: 8}) == {TWO}


def test_a_rebalance_begins_anew() -> None:
    stalled = StallDetector()
    stalled.look({ONE: 5}, {ONE: 9})
    stalled.forget()
    assert stalled.look({ONE: 5}, {ONE: 9}) == set()


def test_what_no_new_assignment_moves_is_left_alone() -> None:
    stalled, ends = StallDetector(), {ONE: 9}
    found = [stalled.look({ONE: 8}, ends) for _ in range(10)]
    assert found.count({ONE}) == 3
    assert found[-1] == set()


def test_it_looks_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    stalled = StallDetector()
    assert not stalled.due()
    monkeypatch.setattr(module, "_EVERY_S", -1.0)
    assert stalled.due()
