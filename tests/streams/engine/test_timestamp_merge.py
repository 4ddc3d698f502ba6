"""Messages of one user on two topics come out in the order in which the broker got them."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from streams.engine.timestamp_merge import TimestampMerge, ends_reached
from streams.kafka.messages import Message, TopicPartition

TOPICS = ("uploads", "frames")


def message(topic: str, partition: int, offset: int, at: int) -> Message:
    return Message(TopicPartition(topic, partition), offset, at, b"u", b"v")


def everything(_: TopicPartition) -> bool:
    return True


def nothing(_: TopicPartition) -> bool:
    return False


def test_a_photo_comes_before_the_frame_that_was_sent_after_it() -> None:
    order = TimestampMerge(TOPICS)
    order.add(message("frames", 0, 7, at=20))
    order.add(message("uploads", 0, 3, at=10))
    assert [m.source.topic for m in order.take(9, everything)] == ["uploads", "frames"]


def test_a_frame_before_the_photo_stays_before_it() -> None:
    order = TimestampMerge(TOPICS)
    order.add(message("uploads", 0, 3, at=20))
    order.add(message("frames", 0, 7, at=10))
    assert [m.source.topic for m in order.take(9, everything)] == ["frames", "uploads"]


def test_a_frame_waits_while_a_photo_may_still_come() -> None:
    order = TimestampMerge(TOPICS)
    order.add(message("frames", 0, 7, at=20))
    assert order.silent() == {TopicPartition("uploads", 0)}
    assert order.take(9, nothing) == []
    assert len(order.take(9, everything)) == 1


def test_what_is_aside_waits_for_nothing_and_holds_nothing_back() -> None:
    order = TimestampMerge(["embeddings"], unordered_topics=["erasures"])
    order.add(message("embeddings", 0, 7, at=20))
    assert order.silent() == set()
    order.add(message("erasures", 0, 3, at=30))
    order.add(message("erasures", 1, 4, at=30))
    assert order.silent() == set()
    taken = order.take(9, nothing)
    assert [(m.source.topic, m.source.partition) for m in taken] == [
        ("erasures", 0),
        ("erasures", 1),
        ("embeddings", 0),
    ]
    assert len(order) == 0


def test_one_partition_does_not_wait_for_another() -> None:
    order = TimestampMerge(TOPICS)
    order.add(message("frames", 0, 7, at=20))
    order.add(message("frames", 1, 4, at=30))
    assert [m.source.partition for m in order.take(9, lambda s: s.partition == 1)] == [1]


def test_what_is_read_again_is_dropped_and_after_a_rebalance_it_is_not() -> None:
    order = TimestampMerge(TOPICS)
    order.add(message("frames", 0, 7, at=20))
    order.add(message("frames", 0, 7, at=20))
    assert len(order) == 1
    order.clear()
    order.add(message("frames", 0, 7, at=20))
    assert len(order) == 1


def test_what_lies_behind_a_gap_is_forgotten_and_comes_again() -> None:
    order, source = TimestampMerge(TOPICS), TopicPartition("frames", 0)
    for offset in (3, 4, 7, 8):
        order.add(message("frames", 0, offset, at=offset))
    order.rewind(source, 5)
    assert order.next_offset(source) == 5
    for offset in (5, 6, 7, 8):
        order.add(message("frames", 0, offset, at=offset))
    assert [m.offset for m in order.take(9, everything)] == [3, 4, 5, 6, 7, 8]
    assert order.buffered_bytes(source) == 0


def test_an_end_counts_as_reached_from_the_start_or_from_the_last_message() -> None:
    order = TimestampMerge(TOPICS)
    order.add(message("frames", 1, 4, at=1))
    ends = {TopicPartition("uploads", 0): 5, TopicPartition("frames", 1): 5, TopicPartition("frames", 2): 1}
    starts = {TopicPartition("uploads", 0): 5, TopicPartition("frames", 2): 0}
    assert ends_reached(order, starts, ends) == {TopicPartition("uploads", 0), TopicPartition("frames", 1)}


@given(
    st.lists(st.tuples(st.sampled_from(TOPICS), st.integers(0, 2), st.integers(0, 3))),
    st.integers(1, 5),
    st.integers(1, 4),
)
def test_every_message_once_each_topic_in_order_and_partitions_by_time(
    arrivals: list[tuple[str, int, int]], limit: int, take_every: int
) -> None:
    order, offsets, clock = TimestampMerge(TOPICS), defaultdict[TopicPartition, int](int), 0
    added, taken = [], []
    for number, (topic, partition, pause) in enumerate(arrivals):
        clock += pause
        source = TopicPartition(topic, partition)
        one = Message(source, offsets[source], clock, b"u", b"v")
        offsets[source] += 1
        order.add(one)
        added.append(one)
        if number % take_every == 0:
            taken += order.take(limit, everything)
    while batch := order.take(limit, everything):
        taken += batch
    assert sorted(map(repr, taken)) == sorted(map(repr, added))
    for partition in {m.source.partition for m in taken}:
        times = [m.timestamp_ms for m in taken if m.source.partition == partition]
        assert times == sorted(times)
