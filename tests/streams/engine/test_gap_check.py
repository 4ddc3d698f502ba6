"""Offsets that hold no message are told from messages that were not given, which are asked for again."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Collection, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.fair_order import FairOrder
from streams.engine.gap_check import GapCheck, SkippedMessages
from streams.kafka.messages import Message, TopicPartition

FRAMES, UPLOADS = TopicPartition("frames", 0), TopicPartition("uploads", 0)


def in_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Let pytest call a coroutine."""

    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        asyncio.run(test(**fixtures))

    return run


class Log:
    """Brokers whose partitions hold messages at these offsets, and a consumer of them."""

    def __init__(self, *frames: int, end: int, first: int = 0) -> None:
        self.offsets = set(frames)
        self.ends = {FRAMES: end, UPLOADS: 0}
        self.first = first
        self.commits: dict[TopicPartition, int] = {}
        self.at: dict[TopicPartition, int] = {}
        self.seeks: list[int] = []
        self.on_seek: Callable[[], None] = lambda: None
        self.order = FairOrder(["uploads", "frames"])
        self.gaps = GapCheck(self.order, self, self)

    def give(self, *offsets: int) -> None:
        """The consumer gives the messages at these offsets."""
        for offset in offsets:
            self.gaps.arrives(FRAMES, offset)
            self.order.add(Message(FRAMES, offset, offset, None, None))

    def taken(self) -> list[int]:
        self.order.silent()
        return [one.offset for one in self.order.take(100, lambda _: True)]

    async def first_offsets(self, sources: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(sources, self.first)

    async def next_offsets(self, sources: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return {source: self.ends[source] for source in sources}

    async def holds_messages(self, source: TopicPartition, start: int, end: int) -> bool:
        return any(start <= offset < end for offset in self.offsets)

    async def committed(self, source: TopicPartition) -> int | None:
        return self.commits.get(source)

    async def position(self, source: TopicPartition) -> int | None:
        return self.at.get(source)

    async def seek(self, source: TopicPartition, offset: int) -> None:
        assert source == FRAMES
        self.seeks.append(offset)
        self.on_seek()


@in_a_loop
async def test_what_comes_without_a_gap_is_not_asked_for() -> None:
    log = Log(3, 4, 5, end=6)
    log.commits[FRAMES] = 3
    log.give(3, 4, 5)
    assert log.gaps.found, "where reading began is not known"
    await log.gaps.verify()
    assert (log.gaps.found, log.seeks, log.taken()) == (False, [], [3, 4, 5])
    assert log.gaps.starts == {FRAMES: 3}


@in_a_loop
async def test_offsets_without_messages_are_no_gap() -> None:
    log = Log(0, 1, 4, 9, end=10)
    log.give(0, 1, 4, 9)
    await log.gaps.verify()
    assert (log.gaps.found, log.seeks, log.taken()) == (False, [], [0, 1, 4, 9])


@in_a_loop
async def test_messages_that_were_dropped_are_read_again() -> None:
    log = Log(*range(8), end=8)
    log.give(0, 1, 5, 6)
    await log.gaps.verify()
    assert (log.gaps.found, log.seeks, len(log.order)) == (False, [2], 2)
    log.give(*range(2, 8))
    await log.gaps.verify()
    assert (log.seeks, log.taken()) == ([2], list(range(8)))


@in_a_loop
async def test_messages_that_were_dropped_at_the_beginning_are_read_again() -> None:
    log = Log(*range(8), end=8, first=2)
    log.commits[FRAMES] = 1
    log.give(5)
    await log.gaps.verify()
    assert log.seeks == [2], "not from the commit, whose message is gone, but from the first that is there"


@in_a_loop
async def test_messages_that_never_come_end_the_worker() -> None:
    log = Log(*range(8), end=8)
    log.commits[FRAMES] = 3
    with pytest.raises(SkippedMessages, match="from 3 to 6"):
        for _ in range(99):
            log.give(7)
            await log.gaps.verify()
    assert log.seeks == [3] * 20


@in_a_loop
async def test_a_rebalance_while_it_is_asked_for_again_leaves_the_new_partitions_alone() -> None:
    log = Log(*range(8), end=8)

    def reassigned() -> None:
        log.order.clear()
        log.gaps.clear()
        log.give(4)

    log.commits[FRAMES] = 4
    log.on_seek = reassigned
    log.give(4, 6)
    await log.gaps.verify()
    assert (log.seeks, log.taken()) == ([5], [4])


@in_a_loop
async def test_a_partition_is_caught_up_at_its_end() -> None:
    log = Log(0, end=1)
    log.give(0)
    assert await log.gaps.caught_up() == {UPLOADS}, "which is empty"
    log.ends[UPLOADS] = 3
    assert await log.gaps.caught_up() == set()
    log.commits[UPLOADS] = 3
    assert await log.gaps.caught_up() == set(), "where reading began is asked once"
    log.gaps.clear()
    assert await log.gaps.caught_up() == {UPLOADS}


@in_a_loop
async def test_a_partition_that_ends_with_a_mark_is_caught_up_when_the_consumer_has_passed_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = Log(0, end=1)
    log.ends[UPLOADS] = 3
    log.give(0)
    log.at[UPLOADS] = 3
    assert await log.gaps.caught_up() == set(), "a message may be on its way"
    monkeypatch.setattr("streams.engine.gap_check._SILENCE_S", -1.0)
    assert await log.gaps.caught_up() == {UPLOADS}
    log.at[UPLOADS] = 2
    assert await log.gaps.caught_up() == set()


@given(
    held=st.sets(st.integers(0, 30), min_size=1),
    dropped=st.lists(st.sets(st.integers(0, 30)), max_size=4),
)
def test_whatever_is_dropped_everything_is_given_once_and_in_order(held: set[int], dropped: list[set[int]]) -> None:
    log = Log(*held, end=31)

    async def read() -> None:
        start = 0
        for drops in [*dropped, set()]:
            log.give(*sorted(one for one in held - drops if one >= start))
            before = len(log.seeks)
            await log.gaps.verify()
            assert not log.gaps.found
            start = log.seeks[-1] if len(log.seeks) > before else max(log.order.next_offset(FRAMES) or 0, start)

    asyncio.run(read())
    assert log.taken() == sorted(held)
