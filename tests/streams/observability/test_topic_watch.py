"""What keeps a worker from its work is told apart from what is as it should be."""

from __future__ import annotations

import pytest

from streams.kafka.consumer_groups import ConsumerGroup, GroupMember
from streams.kafka.messages import TopicPartition
from streams.kafka.topic_identity import TopicIdentity
from streams.observability.heartbeat import ConsumerStatus
from streams.observability.topic_watch import TopicWatch
from streams.roles import Role
from streams.settings import Settings

ME, OTHER = "embed-0@here:1", "embed-1@here:2"
ALL = frozenset(TopicPartition(topic, number) for topic in ("uploads", "frames") for number in range(2))
FOUND = {topic: TopicIdentity(topic, 2) for topic in ("uploads", "frames", "models")}


@pytest.fixture
def watch() -> TopicWatch:
    made = TopicWatch(Role.EMBED, Settings(topic_prefix=""), ME)
    made._first = dict(FOUND)
    return made


def group(*, settled: bool = True, **partitions: frozenset[TopicPartition]) -> ConsumerGroup:
    names = {"me": ME, "other": OTHER}
    members = tuple(GroupMember(name, names[name], "/here", owned) for name, owned in partitions.items())
    return ConsumerGroup("facestream-embed", settled, members)


def has(*partitions: TopicPartition) -> ConsumerStatus:
    return ConsumerStatus(True, frozenset(partitions))


def test_whoever_has_partitions_is_well(watch: TopicWatch) -> None:
    assert watch._of_topics(FOUND) is None
    assert watch._of_group(group(me=ALL), has(*ALL), FOUND) is None
    assert not watch.spare


def test_a_spare_is_well(watch: TopicWatch) -> None:
    assert watch._of_group(group(me=frozenset(), other=ALL), has(), FOUND) is None
    assert watch.spare


def test_partitions_that_nobody_has_keep_every_worker_from_being_ready(watch: TopicWatch) -> None:
    some = ALL - {TopicPartition("frames", 0), TopicPartition("frames", 1)}
    found = watch._of_group(group(me=some, other=frozenset()), has(*some), FOUND)
    assert found is not None
    assert (found.text, found.ready) == ("no worker of its group has frames/0, frames/1", False)
    assert (found.begins_anew, found.at_once) == (True, False)
    assert watch._of_group(group(settled=False, me=some), has(*some), FOUND) is None, "they are being shared out"


@pytest.mark.parametrize("purposes", [[], ["search"]])
def test_probes_are_missed_only_where_searches_are_allowed(purposes: list[str]) -> None:
    watch = TopicWatch(Role.MATCH, Settings(topic_prefix="", search_purposes=purposes), ME)
    own = frozenset(TopicPartition(topic, 0) for topic in ("embeddings", "erasures"))
    found = {topic: TopicIdentity(topic, 1) for topic in ("embeddings", "erasures", "probes", "models")}
    trouble = watch._of_group(group(me=own), has(*own), found)
    text = None if trouble is None else trouble.text
    assert text == ("no worker of its group has probes/0" if purposes else None)


def test_who_is_in_no_group_begins_anew(watch: TopicWatch) -> None:
    found = watch._of_group(group(other=ALL), has(), FOUND)
    assert found is not None
    assert found.begins_anew


def test_topics_that_are_not_as_they_were(watch: TopicWatch) -> None:
    missing = watch._of_topics({name: one for name, one in FOUND.items() if name != "frames"})
    again = watch._of_topics(FOUND | {"frames": TopicIdentity("other", 2)})
    otherwise = watch._of_topics(FOUND | {"frames": TopicIdentity("other", 3)})
    grown = watch._of_topics(FOUND | {"frames": TopicIdentity("frames", 3)})
    assert missing is not None
    assert again is not None
    assert otherwise is not None
    assert grown is not None
    assert [one.at_once for one in (missing, again, otherwise, grown)] == [False, True, False, False]
    assert [one.ready for one in (missing, again, otherwise, grown)] == [False, False, False, True]
