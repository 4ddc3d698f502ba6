"""What is committed never passes a message that is not processed, in whatever order that happens."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.engine.processed_offsets import ProcessedOffsets
from streams.kafka.messages import Message, TopicPartition

FRAMES = TopicPartition("frames", 0)


def message(offset: int) -> Message:
    return Message(FRAMES, offset, offset, b"u", b"v")


def test_a_message_that_is_not_done_holds_those_behind_it_back() -> None:
    offsets = ProcessedOffsets()
    for offset in (3, 4, 5, 9):
        offsets.arrives(FRAMES, offset)
    assert offsets.next_offsets() == {}
    offsets.done([message(4), message(9)])
    assert offsets.next_offsets() == {}
    offsets.done([message(3)])
    assert offsets.next_offsets() == {FRAMES: 5}, "not 9: what lies between may only be late"
    offsets.done([message(5)])
    assert offsets.next_offsets() == {FRAMES: 10}


def test_what_is_read_again_is_not_done() -> None:
    offsets = ProcessedOffsets()
    for offset in (3, 4, 7):
        offsets.arrives(FRAMES, offset)
    offsets.done([message(3)])
    offsets.arrives(FRAMES, 4)
    offsets.arrives(FRAMES, 5)
    offsets.done([message(4)])
    assert offsets.next_offsets() == {FRAMES: 5}
    offsets.done([message(5)])
    assert offsets.next_offsets() == {FRAMES: 6}


def test_marks_are_passed_only_where_nothing_waits() -> None:
    offsets = ProcessedOffsets()
    offsets.reached(FRAMES, 4)
    assert offsets.next_offsets() == {FRAMES: 4}
    offsets.arrives(FRAMES, 4)
    offsets.reached(FRAMES, 9)
    assert offsets.next_offsets() == {FRAMES: 4}
    offsets.done([message(4)])
    offsets.reached(FRAMES, 3)
    assert offsets.next_offsets() == {FRAMES: 5}


@given(st.permutations(range(12)), st.sets(st.integers(0, 11)))
def test_the_first_that_is_not_done_is_never_passed(order: list[int], holes: set[int]) -> None:
    offsets, there = ProcessedOffsets(), [one for one in range(12) if one not in holes]
    for offset in there:
        offsets.arrives(FRAMES, offset)
    done: set[int] = set()
    for offset in (one for one in order if one in there):
        offsets.done([message(offset)])
        done.add(offset)
        expected = [one for number, one in enumerate(there) if set(there[: number + 1]) <= done]
        assert offsets.next_offsets() == ({FRAMES: expected[-1] + 1} if expected else {})
