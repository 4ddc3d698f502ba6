"""What may be committed: nothing behind an open erasure, a result that is held, or what was committed already."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.engine.held_results import HeldResults
from streams.engine.sink_progress import SinkProgress
from streams.kafka.messages import TopicPartition
from tests.streams.engine.sink_parts import ERASURES, MATCHES, OpenErasures, results


def progress() -> tuple[SinkProgress, HeldResults, OpenErasures]:
    held, erasures = HeldResults(), OpenErasures()
    return SinkProgress(held, erasures), held, erasures


def test_what_was_read_and_written_is_committed_once() -> None:
    sink, _, _ = progress()
    assert sink.due() == {}
    sink.read({MATCHES: 5})
    assert sink.due() == {MATCHES: 5}
    assert sink.due() == {MATCHES: 5}, "until the broker has taken it"
    sink.committed({MATCHES: 5})
    assert sink.due() == {}
    sink.read({MATCHES: 5})
    assert sink.due() == {}
    sink.read({MATCHES: 6})
    assert sink.due() == {MATCHES: 6}


def test_nothing_is_committed_behind_a_result_that_is_held() -> None:
    sink, held, _ = progress()
    deliveries, messages = results("bert", "bert", "ursula", "bert")
    held.take_in(deliveries, messages, {"ursula"})
    other = TopicPartition("matches", 1)
    sink.read({MATCHES: 4, other: 9})
    assert sink.due() == {MATCHES: 2, other: 9}
    sink.committed({MATCHES: 2, other: 9})
    assert sink.due() == {}
    held.forget({(MATCHES, 2)})
    assert sink.due() == {MATCHES: 4}


def test_nothing_is_committed_behind_an_erasure_that_is_open() -> None:
    sink, _, erasures = progress()
    erasures.offsets[0] = 7
    second = TopicPartition(ERASURES.topic, 1)
    sink.read({ERASURES: 12, second: 3, MATCHES: 12})
    assert sink.due() == {ERASURES: 7, second: 3, MATCHES: 12}, "an erasure holds up its own partition alone"
    assert sink.done_to(ERASURES, 5) == 5, "nothing behind what is read"
    del erasures.offsets[0]
    assert sink.due()[ERASURES] == 12


def test_after_a_rebalance_all_is_read_again() -> None:
    sink, held, _ = progress()
    held.take_in(*results("ursula"), {"ursula"})
    sink.read({MATCHES: 4})
    sink.committed({MATCHES: 0})
    sink.forget()
    assert (sink.due(), len(held)) == ({}, 0)
    sink.read({MATCHES: 1})
    assert sink.due() == {MATCHES: 1}


@given(st.lists(st.sampled_from(["ursula", "bert"]), max_size=20), st.data())
def test_an_offset_is_committed_once_everything_before_it_is_done(users: list[str], data: st.DataObject) -> None:
    sink, held, _ = progress()
    deliveries, messages = results(*users)
    written = {one.offset for one in held.take_in(deliveries, messages, {"ursula"})}
    sink.read({MATCHES: len(users)})
    waiting = sorted(set(range(len(users))) - written)
    for offset in [None, *(data.draw(st.permutations(waiting)) if waiting else [])]:
        if offset is not None:
            held.forget({(MATCHES, offset)})
            written.add(offset)
        before = next((n for n in range(len(users)) if n not in written), len(users))
        due = sink.due()
        assert sink.done_to(MATCHES, len(users)) == before
        sink.committed(due)
