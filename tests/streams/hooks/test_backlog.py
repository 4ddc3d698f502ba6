"""When what is posted: pure, with a clock of the test's own."""

from __future__ import annotations

from datetime import timedelta

import pytest

from streams.hooks import backlog as module
from streams.hooks.backlog import AT_ONCE, Backlog, Waiting
from tests.sinks.examples import NOW, sighting

DAY = timedelta(days=1)


def waiting(hook: str = "one") -> Waiting:
    return Waiting(hook, sighting(), 0, NOW)


def backlog() -> Backlog:
    return Backlog(5.0, DAY, spread=lambda: 1.0)


def test_a_hook_gets_its_events_in_order_and_some_at_once() -> None:
    known, events = backlog(), [waiting() for _ in range(AT_ONCE + 2)]
    for one in events:
        known.add(one, 0)
    assert known.take(0) == events[:AT_ONCE]
    assert known.take(0) == []
    assert known.accepted(events[0], 0, NOW)
    assert known.take(0) == [events[AT_ONCE]]
    assert len(known) == AT_ONCE + 1


def test_an_address_that_is_away_holds_up_no_other() -> None:
    known = backlog()
    for _ in range(100):
        known.add(waiting("dead"), 0)
    for one in known.take(0):
        known.failed(one, 15, NOW)
    known.add(alive := waiting("alive"), 15)
    assert known.take(15) == [alive]


def test_pauses_double_up_to_an_hour() -> None:
    known, now, pauses = backlog(), 0.0, []
    known.add(one := waiting(), now)
    while len(pauses) < 14:
        assert known.take(now) == [one]
        known.failed(one, now, NOW)
        pauses.append(one.due - now)
        now = max(one.due, now + 700)
    assert pauses[:4] == [5, 10, 20, 40]
    assert pauses[-2:] == [3600, 3600]


def test_an_address_that_is_away_is_tried_with_one_event_after_pauses() -> None:
    known = backlog()
    for _ in range(20):
        known.add(waiting(), 0)
    for one in known.take(0):
        known.failed(one, 0, NOW)
    assert known.take(9.9) == []
    (only,) = known.take(10.1)
    assert known.take(10.1) == []
    known.failed(only, 10.1, NOW)
    assert known.take(30) == []
    (only,) = known.take(30.2)
    assert known.accepted(only, 31, NOW)
    assert len(known.take(31)) == AT_ONCE, "what has failed is due as well"


def test_what_an_address_refuses_again_and_again_does_not_hold_up_the_rest() -> None:
    known = backlog()
    known.add(bad := waiting(), 0)
    known.take(0)
    known.failed(bad, 0, NOW)
    known.add(good := waiting(), 1)
    assert known.take(1) == [good]
    assert known.accepted(good, 1, NOW)
    assert known.take(4.9) == []
    assert known.take(5) == [bad]


def test_an_event_is_given_up_after_its_time() -> None:
    known = backlog()
    known.add(one := waiting(), 0)
    known.take(0)
    assert not known.failed(one, 0, NOW + DAY - timedelta(seconds=1))
    assert known.take(1e6) == [one]
    assert known.failed(one, 1e6, NOW + DAY)
    assert len(known) == 0 and known.take(2e6) == []
    assert not known.has_accepted_since("one", NOW)


def test_that_another_event_was_accepted_meanwhile_is_known() -> None:
    known = backlog()
    known.add(bad := waiting(), 0)
    known.add(good := waiting(), 0)
    known.take(0)
    known.accepted(good, 0, NOW + timedelta(hours=1))
    known.failed(bad, 0, NOW + DAY)
    assert known.has_accepted_since("one", NOW)


def test_the_address_may_ask_for_a_longer_pause_up_to_an_hour() -> None:
    known = backlog()
    known.add(one := waiting(), 0)
    known.take(0)
    known.failed(one, 0, NOW, wait_s=120)
    known.add(waiting(), 1)
    assert known.take(119) == []
    assert len(known.take(121)) == 1
    known.failed(one, 121, NOW, wait_s=1e6)
    assert known.take(122) == []
    assert known.next_due() is not None


def test_the_oldest_is_given_up_where_too_much_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 5)
    known, events = backlog(), [waiting() for _ in range(7)]
    known.add(events[0], 0)
    assert known.take(0) == [events[0]]
    given_up = [gone for one in events[1:] for gone in known.add(one, 0)]
    assert given_up == events[1:3], "what is under way stays"
    assert events[1] not in known.take(0)


def test_what_is_dropped_under_way_is_not_posted_again() -> None:
    known = backlog()
    known.add(one := waiting(), 0)
    known.take(0)
    known.remove(one)
    assert len(known) == 0 and known.flying == {one}
    assert not known.failed(one, 0, NOW)
    assert not known.flying and known.take(1e6) == []
    known.add(two := waiting(), 1e6)
    known.take(1e6)
    assert known.drop("one") == [two]
    assert not known.accepted(two, 1e6, NOW)


def test_the_same_event_waits_once_for_a_hook_and_for_each_hook() -> None:
    known, event = backlog(), sighting()
    for hook in ("one", "one", "two"):
        known.add(Waiting(hook, event, 0, NOW), 0)
    assert len(known) == 2 and len(known.take(0)) == 2
