"""Waiting for answers, without Kafka and Redis."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import pytest

from schemas.as_json import to_json
from schemas.clock import utc_now
from schemas.dead_letters import DeadLetter
from schemas.ids import new_event_id
from schemas.ingest import Frame, Picture
from sinks.redis.errors import ResultsUnavailable
from streams.client import waiting
from streams.client.answers import answer_from_json
from streams.client.errors import ClientClosed, DeadLettered
from streams.client.testing import dead_lettered
from streams.client.waiting import AnswerWaiter
from tests.sinks.examples import enrolment, match


class Store:
    """Answers and dead letters by event id, and how they were asked for."""

    def __init__(self) -> None:
        self.answers: dict[str, Mapping[str, Any]] = {}
        self.letters: dict[str, DeadLetter] = {}
        self.error: Exception | None = None
        self.asked: list[set[str]] = []
        self.looked = threading.Event()

    def look(self, event_ids: Collection[str]) -> Mapping[str, Mapping[str, Any]]:
        self.asked.append(set(event_ids))
        self.looked.set()
        if self.error is not None:
            raise self.error
        return {one: self.answers[one] for one in event_ids if one in self.answers}


@pytest.mark.parametrize("event", [match(), enrolment(), replace(match(), faces=[])])
def test_an_answer_is_the_event_again(event: Any) -> None:
    assert to_json(answer_from_json(to_json(event))) == to_json(event)
    newer = to_json(event) | {"added_by_a_newer_release": 1}
    assert answer_from_json(newer) == answer_from_json(to_json(event))


@pytest.mark.parametrize("broken", [{}, {"event_id": "1"}, {"outcome": "enrolled"}, {"faces": 3}])
def test_what_is_no_answer_is_told(broken: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no answer"):
        answer_from_json(broken)


def test_many_wait_with_one_question() -> None:
    store, one, other = Store(), match(), enrolment()
    waiter = AnswerWaiter(store.look, store.letters.get)
    futures = [waiter.wait_for(event.event_id) for event in (one, other, one)]
    while {one.event_id, other.event_id} not in store.asked:
        store.looked.wait(10)
    store.answers = {event.event_id: to_json(event) for event in (one, other)}
    assert [future.result(10).event_id for future in futures] == [one.event_id, other.event_id, one.event_id]
    waiter.close()


def test_nobody_is_asked_about_what_nobody_waits_for() -> None:
    store, given_up, wanted = Store(), match(), match()
    waiter = AnswerWaiter(store.look, store.letters.get)
    waiter.wait_for(given_up.event_id).cancel()
    future = waiter.wait_for(wanted.event_id)
    while store.asked[-1:] != [{wanted.event_id}]:
        store.looked.wait(10)
    store.answers = {wanted.event_id: to_json(wanted)}
    assert future.result(10)
    waiter.close()


def test_a_redis_that_comes_back_answers() -> None:
    store, event = Store(), match()
    store.error = ResultsUnavailable("away")
    waiter = AnswerWaiter(store.look, store.letters.get)
    future = waiter.wait_for(event.event_id)
    store.looked.wait(10)
    while waiter.trouble is None:
        assert not future.done()
    store.answers, store.error = {event.event_id: to_json(event)}, None
    assert future.result(10)
    assert waiter.trouble is None
    waiter.close()


def test_a_dead_letter_counts_only_where_there_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_LATE_S", 0.0)
    store, answered, dead = Store(), match(), match()
    store.answers = {answered.event_id: to_json(answered)}
    letter = dead_lettered(_frame(), "failed").letter
    store.letters = {answered.event_id: letter, dead.event_id: letter}
    waiter = AnswerWaiter(store.look, store.letters.get)
    assert waiter.wait_for(answered.event_id).result(10)
    with pytest.raises(DeadLettered, match=dead.event_id):
        waiter.wait_for(dead.event_id).result(10)
    waiter.close()


def test_what_nobody_foresaw_is_told() -> None:
    store = Store()
    store.error = ZeroDivisionError()
    waiter = AnswerWaiter(store.look, store.letters.get)
    with pytest.raises(ZeroDivisionError):
        waiter.wait_for(match().event_id).result(10)
    waiter.close()


def test_a_waiter_that_is_closed_tells_whoever_waits() -> None:
    waiter = AnswerWaiter(Store().look, Store().letters.get)
    future = waiter.wait_for(match().event_id)
    waiter.close()
    with pytest.raises(ClientClosed):
        future.result(10)


def _frame() -> Frame:
    return Frame(new_event_id(), "anna", "door", 0, utc_now(), Picture(b"x"))
