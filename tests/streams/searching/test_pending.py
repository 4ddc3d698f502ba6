"""Parts are collected until all shards have answered or the deadline is over, and nothing is forgotten before."""

from __future__ import annotations

from dataclasses import replace

import pytest

from schemas.ids import new_event_id
from schemas.ingest import Mode
from schemas.partition import TopicPartition
from schemas.parts import Source
from schemas.results import Match, SearchCoverage
from streams.searching import pending
from streams.searching.pending import PendingSearches
from tests.sinks.examples import NOW, match

HERE, THERE = TopicPartition("search-parts", 0), TopicPartition("search-parts", 1)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def part(of: str, shard: int, shards: int = 2, **changes: object) -> Match:
    covered = SearchCoverage(shards, [shard], 1, NOW)
    return match(event_id=of, mode=Mode.SEARCH, search=covered, **changes)


def test_a_search_is_complete_when_all_shards_have_answered() -> None:
    searches, event = PendingSearches(10, Clock()), new_event_id()
    searches.add(HERE, 5, part(event, 1))
    searches.add(HERE, 6, part(event, 1))
    assert searches.complete() == []
    searches.add(HERE, 7, part(event, 0))
    [key] = searches.complete()
    assert (key[0], sorted(searches[key].parts)) == (event, [0, 1])


def test_the_first_part_of_a_shard_counts() -> None:
    searches, event = PendingSearches(10, Clock()), new_event_id()
    first, second = part(event, 0, 1), part(event, 0, 1, faces=[])
    searches.add(HERE, 0, first)
    searches.add(HERE, 1, second)
    assert searches[searches.complete()[0]].parts == {0: first}


def test_a_search_is_overdue_some_time_after_its_first_part() -> None:
    clock = Clock()
    searches, event = PendingSearches(10, clock), new_event_id()
    searches.add(HERE, 0, part(event, 0, 3))
    clock.now += 9
    searches.add(HERE, 1, part(event, 1, 3))
    assert searches.overdue() == []
    clock.now += 1
    assert [key[0] for key in searches.overdue()] == [event]


def test_a_late_part_begins_no_search_anew() -> None:
    clock = Clock()
    searches, event = PendingSearches(10, clock), new_event_id()
    searches.add(HERE, 0, part(event, 0))
    clock.now += 10
    searches.answered(searches.overdue())
    searches.add(HERE, 1, part(event, 1))
    clock.now += 10
    assert searches.overdue() == [] and searches.first_offset(HERE) is None


def test_a_replay_and_another_frame_with_the_id_are_searches_of_their_own() -> None:
    searches, event = PendingSearches(10, Clock()), new_event_id()
    live = part(event, 0)
    for number, one in enumerate((live, replace(live, replay_id="r"), replace(live, source=Source("frames", 0, 99)))):
        searches.add(HERE, number, one)
    assert searches.complete() == []
    searches.add(HERE, 3, replace(part(event, 1), replay_id="r"))
    assert [key[1] for key in searches.complete()] == ["r"]


def test_the_first_part_that_is_needed_again_is_known_by_partition() -> None:
    searches, events = PendingSearches(10, Clock()), [new_event_id() for _ in range(3)]
    for offset, event in enumerate(events):
        searches.add(HERE, offset, part(event, 0))
    searches.add(THERE, 7, part(new_event_id(), 0))
    assert searches.first_offset(HERE) == 0
    searches.add(HERE, 3, part(events[0], 1))
    searches.answered(searches.complete())
    assert searches.first_offset(HERE) == 1
    searches.forget([HERE])
    assert (searches.first_offset(HERE), searches.first_offset(THERE)) == (None, 7)


def test_not_all_answered_searches_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    searches, events = PendingSearches(10, Clock()), [new_event_id() for _ in range(3)]
    monkeypatch.setattr(pending, "REMEMBERED", 2)
    for offset, event in enumerate(events):
        searches.add(HERE, offset, part(event, 0, 1))
        searches.answered(searches.complete())
    for event in events:
        searches.add(HERE, 9, part(event, 0, 1))
    assert [key[0] for key in searches.complete()] == events[:1]
