"""Results that wait for an erasure stay in order, and none is lost."""

from __future__ import annotations

from sinks.base import Delivery
from streams.engine.held_results import HeldResults
from streams.kafka.messages import Message, TopicPartition
from tests.sinks.examples import delivery, match, resolution
from tests.streams.engine.sink_parts import MATCHES, results


def test_a_user_s_results_stay_in_order_behind_those_that_are_held() -> None:
    held, events = HeldResults(), [match(user_id=user) for user in ("ursula", "bert", "ursula")]
    ones: list[Delivery] = [delivery(event, n) for n, event in enumerate([*events, resolution("l", "sent")])]  # type: ignore[arg-type]
    messages = {
        (one.partition, one.offset): Message(TopicPartition(one.partition.topic, 0), one.offset, 0, None, None)
        for one in ones
    }
    assert held.take_in(ones[:2], messages, {"ursula"}) == [ones[1]]
    assert held.take_in(ones[2:], messages, set()) == [ones[3]], "behind the one that is held"
    assert held.first(TopicPartition("matches", 0)) == 0
    assert held.released({"ursula"}) == ([], {})
    free, theirs = held.released(set())
    assert free == [ones[0], ones[2]]
    held.forget(theirs.keys())
    assert (len(held), held.first(TopicPartition("matches", 0))) == (0, None)


def test_what_is_released_stays_until_it_is_written() -> None:
    held, (deliveries, messages) = HeldResults(), results("ursula", "ursula", "bert")
    held.take_in(deliveries, messages, {"ursula", "bert"})
    assert held.released({"bert"})[0] == deliveries[:2]
    assert held.released({"bert"})[0] == deliveries[:2], "the writing may have failed"
    held.forget({(MATCHES, 0)})
    assert (len(held), held.first(MATCHES)) == (2, 1)
    held.forget({(MATCHES, 1)})
    assert held.take_in(deliveries[:1], messages, {"bert"}) == deliveries[:1], "nothing of the user is held any more"


def test_the_lowest_offset_is_told_of_each_partition() -> None:
    held, (deliveries, messages) = HeldResults(), results("bert", "ursula", "bert")
    held.take_in(deliveries[1:], messages, {"ursula", "bert"})
    assert (held.first(MATCHES), held.first(TopicPartition("matches", 1))) == (1, None)
    held.clear()
    assert (len(held), held.first(MATCHES)) == (0, None)
