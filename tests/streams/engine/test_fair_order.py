"""A user's messages come out in the order in which the broker got them, and nobody waits behind another user's bulk."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engine import fair_order
from streams.engine.fair_order import FairOrder
from streams.kafka.messages import Message, TopicPartition

TOPICS = ("uploads", "frames")


class Log:
    """Two topics on which messages are appended at a clock, and an order that reads them."""

    def __init__(self, order: FairOrder) -> None:
        self.order = order
        self.messages: dict[TopicPartition, list[Message]] = defaultdict(list)
        self.clock = 0

    def append(self, topic: str, user: str, partition: int = 0, pause: int = 1, size: int = 1) -> Message:
        self.clock += pause
        source = TopicPartition(topic, partition)
        one = Message(source, len(self.messages[source]), self.clock, user.encode(), b"v" * size)
        self.messages[source].append(one)
        return one

    def send(self, topic: str, user: str, partition: int = 0, size: int = 1) -> Message:
        """Append a message that is read at once."""
        one = self.append(topic, user, partition, size=size)
        self.order.add(one)
        return one

    def read_again(self) -> None:
        """Read again whatever is wanted."""
        while (one := self.order.wanted()) is not None:
            part = self.messages[one.source][one.offset : one.offset + 3]
            assert self.order.fill(one.source, one.offset, part[-1].offset + 1, part) == []
            assert self.order.wanted() is not one

    def take(self, limit: int = 9) -> list[Message]:
        return take(self.order, limit)


def take(
    order: FairOrder, limit: int = 9, caught_up: Callable[[TopicPartition], bool] = lambda _: True
) -> list[Message]:
    order.silent()
    return order.take(limit, caught_up)


@pytest.fixture
def log() -> Log:
    return Log(FairOrder(TOPICS, urgent_topics=["frames"]))


def message(topic: str, partition: int, offset: int, at: int, user: str = "u") -> Message:
    return Message(TopicPartition(topic, partition), offset, at, user.encode(), b"v")


def topics(messages: list[Message]) -> list[str]:
    return [one.source.topic for one in messages]


def users(messages: list[Message]) -> list[str]:
    return [(one.key or b"").decode() for one in messages]


def test_a_photo_comes_before_the_frame_that_was_sent_after_it(log: Log) -> None:
    log.order.add(message("frames", 0, 7, at=20))
    log.order.add(message("uploads", 0, 3, at=10))
    assert topics(log.take()) == ["uploads", "frames"]


def test_a_frame_before_the_photo_stays_before_it(log: Log) -> None:
    log.order.add(message("uploads", 0, 3, at=20))
    log.order.add(message("frames", 0, 7, at=10))
    assert topics(log.take() + log.take()) == ["frames", "uploads"]


def test_equal_times_keep_the_order_of_the_topics(log: Log) -> None:
    log.order.add(message("frames", 0, 7, at=20))
    log.order.add(message("uploads", 0, 3, at=20))
    assert topics(log.take()) == ["uploads", "frames"]


def test_a_frame_waits_while_a_photo_may_still_come(log: Log) -> None:
    log.order.add(message("frames", 0, 7, at=20))
    assert log.order.silent() == {TopicPartition("uploads", 0)}
    assert log.order.take(9, lambda _: False) == []
    log.order.add(message("uploads", 0, 3, at=20, user="another"))
    assert users(take(log.order, caught_up=lambda _: False)) == ["another"], "one of that time may still come"
    log.order.add(message("uploads", 0, 4, at=21, user="another"))
    assert users(take(log.order, 1, lambda _: False)) == ["u"]


def test_what_comes_while_the_brokers_are_asked_is_not_known_to_be_next(log: Log) -> None:
    log.order.add(message("frames", 0, 7, at=20))
    log.order.silent()
    log.order.add(message("frames", 0, 8, at=30))
    assert [one.offset for one in log.order.take(9, lambda _: True)] == [7]
    assert [one.offset for one in log.take()] == [8]


def test_what_is_aside_waits_for_nothing_and_holds_nothing_back() -> None:
    order = FairOrder(["embeddings"], unordered_topics=["erasures"])
    order.add(message("embeddings", 0, 7, at=20))
    assert order.silent() == set()
    order.add(message("erasures", 0, 3, at=30))
    order.add(message("erasures", 1, 4, at=30))
    assert order.silent() == set()
    taken = order.take(9, lambda _: False)
    assert [(m.source.topic, m.source.partition) for m in taken] == [
        ("erasures", 0),
        ("erasures", 1),
        ("embeddings", 0),
    ]
    assert len(order) == 0


def test_one_partition_does_not_wait_for_another(log: Log) -> None:
    log.order.add(message("frames", 0, 7, at=20))
    log.order.add(message("frames", 1, 4, at=30))
    assert [m.source.partition for m in take(log.order, caught_up=lambda s: s.partition == 1)] == [1]


def test_what_is_read_again_is_dropped_and_after_a_rebalance_it_is_not(log: Log) -> None:
    assert log.order.add(message("frames", 0, 7, at=20))
    assert not log.order.add(message("frames", 0, 7, at=20))
    assert len(log.order) == 1
    log.order.clear()
    assert log.order.add(message("frames", 0, 7, at=20))
    assert len(log.order) == 1


def test_what_lies_behind_a_gap_is_forgotten_and_comes_again(log: Log) -> None:
    source = TopicPartition("frames", 0)
    for offset in (3, 4, 7, 8):
        log.order.add(message("frames", 0, offset, at=offset, user=f"{offset % 2}"))
    log.order.rewind(source, 5)
    assert log.order.next_offset(source) == 5
    for offset in (5, 6, 7, 8):
        log.order.add(message("frames", 0, offset, at=offset, user=f"{offset % 2}"))
    assert sorted(one.offset for one in log.take()) == [3, 4, 5, 6, 7, 8]
    assert (log.order.waiting(source), log.order.kept_bytes) == (0, 0)


@pytest.mark.parametrize("topic", TOPICS)
def test_nobody_waits_behind_another_users_bulk(log: Log, topic: str) -> None:
    for _ in range(1000):
        log.send(topic, "bulk")
    log.send("frames", "live")
    assert "live" in users(log.take(4))


def test_users_take_turns_wherever_they_lie(log: Log) -> None:
    for _ in range(5):
        log.send("frames", "alone", partition=1)
        for number in range(10):
            log.send("frames", f"one-of-many-{number}")
    assert len(set(users(log.take(11)))) == 11


def test_nobody_waits_for_thousands_of_others_who_enrol(log: Log) -> None:
    for number in range(2000):
        log.send("uploads", f"new-{number}")
    frames = [log.send("frames", f"live-{number}") for number in range(6)]
    first = log.take(8)
    assert [one for one in first if one.source.topic == "frames"] == frames
    assert users(first)[3] == "new-0", "whoever enrols keeps a share"


def test_a_photo_before_a_frame_goes_where_the_frame_goes(log: Log) -> None:
    for number in range(500):
        log.send("uploads", f"new-{number}")
    log.send("uploads", "live")
    for number in range(500):
        log.send("uploads", f"newer-{number}")
    log.send("frames", "live")
    assert [one.source.topic for one in log.take(4) if one.key == b"live"] == ["uploads", "frames"]


def test_uploads_go_on_beside_more_frames_than_can_be_done(log: Log) -> None:
    for number in range(400):
        log.send("frames", f"live-{number % 40}")
        log.send("uploads", "bulk")
    assert topics(log.take(100)).count("uploads") == 25


def test_a_batch_of_frames_is_not_filled_up_with_photos(log: Log) -> None:
    for number in range(40):
        log.send("uploads", f"bulk-{number}")
    assert topics(log.take(16)) == ["uploads"] * 16
    log.send("frames", "live")
    log.send("frames", "live")
    assert 2 <= len(log.take(16)) <= 3


def test_a_camera_that_runs_wild_goes_behind_the_others(log: Log) -> None:
    for _ in range(fair_order.DEEP + 1):
        log.send("frames", "wild")
    for number in range(12):
        log.send("frames", f"live-{number}")
    assert users(log.take(16)).count("wild") == 4
    assert users(log.take(16)) == ["wild"] * 16
    for _ in range(12):
        log.take(1)
    log.send("frames", "live")
    assert users(log.take(2)) == ["wild", "live"], "it has caught up"


def test_frames_alone_fill_a_batch(log: Log) -> None:
    for number in range(40):
        log.send("frames", f"live-{number % 3}")
    assert len(log.take(16)) == 16


def test_without_urgent_topics_a_batch_is_full() -> None:
    order = FairOrder(["embeddings"])
    for offset in range(40):
        order.add(message("embeddings", 0, offset, at=offset))
    assert len(take(order, 16)) == 16


def test_contents_beyond_a_bound_are_read_again(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fair_order, "USER_BYTES", 8_000)
    monkeypatch.setattr(fair_order, "KEPT_BYTES", 20_000)
    sent = [log.send("uploads", f"bulk-{number % 9}", size=500) for number in range(300)]
    sent.append(log.send("frames", "live", size=500))
    assert log.order.kept_bytes <= 2 * 20_000
    assert users(log.take(1)) == ["live"], "urgent messages have room of their own"
    taken = []
    while len(log.order):
        log.read_again()
        batch = log.take(4)
        assert batch, "it goes on"
        assert log.order.kept_bytes <= 2 * 20_000
        taken += batch
    assert sorted(one.offset for one in taken) == list(range(300))
    assert all(one.value for one in taken)
    for user in {one.key for one in taken}:
        offsets = [one.offset for one in taken if one.key == user]
        assert offsets == sorted(offsets)
    assert log.order.kept_bytes == 0


def test_the_oldest_message_is_read_again_although_memory_is_full(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the frames of a user have been read before his older photo."""
    monkeypatch.setattr(fair_order, "KEPT_BYTES", 1_500)
    photo = log.append("uploads", "live")
    frames = [log.append("frames", "live") for _ in range(5)]
    for frame in frames:
        log.order.add(frame)
    for _ in frames:
        log.read_again()
        assert take(log.order, caught_up=lambda _: False) == [], "a photo may still come"
    log.order.add(photo)
    taken = []
    for _ in range(12):
        taken += log.take(1)
        log.read_again()
    assert taken == [photo, *frames]


def test_what_is_not_in_the_log_any_more_is_waited_for_no_longer(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fair_order, "USER_BYTES", 4_000)
    for _ in range(9):
        log.send("uploads", "bulk", size=500)
    source = TopicPartition("uploads", 0)
    wanted = log.order.wanted()
    kept = [one.offset for one in log.take()]
    assert (wanted is None or wanted.offset not in kept) and len(kept) < 9
    wanted = log.order.wanted()
    assert wanted is not None
    gone = log.order.fill(source, wanted.offset, 7, [])
    assert gone == list(range(len(kept), 7))
    log.order.fill(source, 7, 9, log.messages[source][7:])
    assert [one.offset for one in log.take()] == [7, 8]
    assert len(log.order) == 0


@given(
    arrivals=st.lists(
        st.tuples(st.sampled_from(TOPICS), st.integers(0, 1), st.sampled_from("abc"), st.integers(0, 2)), max_size=60
    ),
    limit=st.integers(1, 5),
    take_every=st.integers(1, 6),
    user_bytes=st.sampled_from([1_000, 3_000, 10_000]),
    kept_bytes=st.sampled_from([1_500, 6_000, 10**6]),
    data=st.data(),
)
def test_every_message_once_and_in_order_for_each_user(
    arrivals: list[tuple[str, int, str, int]],
    limit: int,
    take_every: int,
    user_bytes: int,
    kept_bytes: int,
    data: st.DataObject,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fair_order, "USER_BYTES", user_bytes)
        patch.setattr(fair_order, "KEPT_BYTES", kept_bytes)
        log = Log(FairOrder(TOPICS, urgent_topics=["frames"]))
        appended = [log.append(topic, user, number, pause) for topic, number, user, pause in arrivals]
        taken: list[Message] = []
        unread = [one for one in log.messages.values() if one]
        queues = [iter(one) for one in unread]
        added: set[tuple[TopicPartition, int]] = set()
        for step in itertools.count():
            if not queues:
                break
            queue = data.draw(st.sampled_from(queues))
            one = next(queue, None)
            if one is None:
                queues.remove(queue)
                continue
            log.order.add(one)
            added.add((one.source, one.offset))
            if step % take_every == 0:
                log.read_again()
                taken += take(
                    log.order, limit, lambda source: all((source, m.offset) in added for m in log.messages[source])
                )
        while len(log.order):
            log.read_again()
            batch = log.take(limit)
            if not batch:  # memory is full of what is later; now that nothing can go, what is missing is read
                log.read_again()
                batch = log.take(limit)
            assert batch, "it goes on"
            taken += batch
    assert sorted(map(repr, taken)) == sorted(map(repr, appended))
    rank = {topic: number for number, topic in enumerate(TOPICS)}
    for key in {(one.source.partition, one.key) for one in taken}:
        mine = [one for one in taken if (one.source.partition, one.key) == key]
        assert mine == sorted(mine, key=lambda one: (one.timestamp_ms, rank[one.source.topic], one.offset))
    assert log.order.kept_bytes == 0
