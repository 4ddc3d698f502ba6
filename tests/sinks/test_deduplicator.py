"""Each event once, for whatever events in whatever order, with whatever is in the table before."""

from __future__ import annotations

import dataclasses
import uuid
from collections import Counter
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.results import Match
from sinks.base import Delivery, Result
from sinks.bigquery.columns import micros
from sinks.bigquery.deduplicator import Deduplicator
from sinks.bigquery.window import DAY, FOREVER, Item, Load, Window, key_of, make_key
from tests.sinks.examples import delivery, match

NOW = micros(datetime(2026, 1, 1, tzinfo=UTC))
_EXAMPLE = match()


class Table:
    """Rows in memory, which tell of themselves what BigQuery does, and count how often they are asked."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.rows: list[Delivery] = []
        self.questions = 0

    def load(self, loads: Mapping[int, Load]) -> dict[int, list[Item]]:
        self.questions += 1
        found = {}
        for number, load in loads.items():
            items = [
                (time, key_of(row.event))
                for row in self.rows
                if row.partition.partition == number
                and load.low <= (time := time_of(row)) < load.high
                # What is decided a day before the window begins is not read.
                and time <= NOW + DAY
            ]
            found[number] = sorted(items, reverse=load.extends)[: self.limit]
        return found

    def written(self, events: Collection[Result]) -> set[bytes]:
        self.questions += 1
        return {key_of(row.event) for row in self.rows} & {key_of(event) for event in events}


def time_of(row: Delivery) -> int:
    assert isinstance(row.event, Match)
    return micros(row.event.captured_at)


def event(number: int, minutes_ago: float, replay: str | None = None) -> Match:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=NOW) - timedelta(minutes=minutes_ago)
    return dataclasses.replace(_EXAMPLE, event_id=str(uuid.UUID(int=number)), captured_at=at, replay_id=replay)


minutes = st.one_of(
    st.integers(0, 60),
    st.integers(-3000, 5000),
    st.sampled_from([60 * 24 * 365 * 56, -60 * 24 * 365 * 70]),  # 1970 and 2096
)
events = st.builds(event, st.integers(0, 2**128 - 1), minutes, st.sampled_from([None, None, "r"]))


@st.composite
def histories(draw: st.DrawFn) -> list[list[Delivery]]:
    """Batches of deliveries in which events come again, in the same partition."""
    pool = draw(st.lists(events, min_size=1, max_size=40, unique_by=lambda one: one.event_id))
    order = draw(st.lists(st.integers(0, len(pool) - 1), min_size=1, max_size=120))
    deliveries = [delivery(pool[n], offset, n % 2) for offset, n in enumerate(order)]
    sizes = draw(st.integers(1, 30))
    return [deliveries[start : start + sizes] for start in range(0, len(deliveries), sizes)]


@settings(max_examples=300, deadline=None)
@given(history=histories(), limit=st.integers(1, 30), owners=st.integers(1, 4))
def test_each_event_is_let_through_once(history: list[list[Delivery]], limit: int, owners: int) -> None:
    table, deduplicator = Table(limit), Deduplicator(Table(limit))
    for turn, batch in enumerate(history):
        if turn % owners == 0:  # Another worker takes over.
            deduplicator = Deduplicator(table)
            deduplicator.begin(0)
            deduplicator.begin(1)
        fresh = deduplicator.fresh(batch, NOW)
        table.rows += fresh
        deduplicator.mark_written(fresh)
        assert {key_of(one.event) for one in batch} <= {key_of(row.event) for row in table.rows}
    assert max(Counter(key_of(row.event) for row in table.rows).values()) == 1


@settings(max_examples=300, deadline=None)
@given(
    times=st.lists(st.integers(0, 100 * 60_000_000), max_size=60),
    limit=st.integers(1, 20),
    load=st.builds(Load, st.integers(0, 50 * 60_000_000), st.just(FOREVER), st.just(False)),
)
def test_a_window_is_bounded_and_never_wrong_where_it_answers(times: list[int], limit: int, load: Load) -> None:
    window = Window(limit)
    items = [(time, make_key(f"{n:032x}", None)) for n, time in enumerate(times)]
    there = sorted(item for item in items if item[0] >= load.low)[::2]
    window.loaded(load, there[:limit], limit)
    for item in items[::3]:
        window.add(*item)
        there.append(item)
    assert len(window) <= limit
    for item in items:
        if window.covers(item[0], NOW):
            assert (item in window) == (item in there)


def test_a_stream_of_which_the_margin_holds_too_much_is_covered_all_the_same() -> None:
    table = Table(limit=200)
    table.rows = [delivery(event(n, 10 - n / 100), n) for n in range(1_000)]
    deduplicator = Deduplicator(table)
    deduplicator.begin(0)
    for number in range(50):
        batch = [delivery(event(1_000 + 2 * number + n, 0), 1_000) for n in range(2)]
        fresh = deduplicator.fresh(batch, NOW)
        table.rows += fresh
        deduplicator.mark_written(fresh)
    assert table.questions <= 4
    assert len(table.rows) == 1_100
    assert not deduplicator.fresh([table.rows[-1], table.rows[0]], NOW), "what is older is looked up"


def test_a_steady_stream_asks_the_table_once() -> None:
    table = Table(limit=10_000)
    deduplicator = Deduplicator(table)
    deduplicator.begin(0)
    for second in range(600):
        batch = [delivery(event(second * 10 + n, 10 - second / 60), second) for n in range(10)]
        fresh = deduplicator.fresh(batch, NOW)
        table.rows += fresh
        deduplicator.mark_written(fresh)
    assert (len(table.rows), table.questions) == (6000, 1)


@pytest.mark.parametrize("takes_over", [False, True])
def test_an_event_that_comes_again_with_another_time(takes_over: bool) -> None:
    table = Table(limit=10_000)
    deduplicator = Deduplicator(table)
    deduplicator.begin(0)
    for minutes_ago in (7, 5, 3):
        if takes_over:
            deduplicator.begin(0)
        fresh = deduplicator.fresh(
            [delivery(event(1, minutes_ago), 0), delivery(event(minutes_ago, minutes_ago), 1)], NOW
        )
        table.rows += fresh
        deduplicator.mark_written(fresh)
    assert sorted(uuid.UUID(row.event.event_id).int for row in table.rows if isinstance(row.event, Match)) == [
        1,
        3,
        5,
        7,
    ]


def test_draining_a_week_asks_the_table_seldom() -> None:
    table = Table(limit=500)
    table.rows = [delivery(event(n, 7 * 24 * 60 - n), n) for n in range(5_000)]
    deduplicator = Deduplicator(table)
    deduplicator.begin(0)
    backlog = [delivery(event(n, 7 * 24 * 60 - n), n) for n in range(10_000)]
    for start in range(0, 10_000, 100):
        fresh = deduplicator.fresh(backlog[start : start + 100], NOW)
        table.rows += fresh
        deduplicator.mark_written(fresh)
    assert len(table.rows) == 10_000
    assert table.questions <= 20


@pytest.mark.parametrize("replay", [None, "r1"])
def test_a_key_is_the_same_from_event_and_row(replay: str | None) -> None:
    one = event(7, 0, replay)
    assert key_of(one) == make_key(one.event_id.upper(), replay) != make_key(one.event_id, "other")
