"""Where records belong among another number of partitions."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from schemas import codec
from schemas.erasure import Erasure
from schemas.hooks import HookDelivery
from schemas.ids import new_event_id
from schemas.ingest import Consent
from schemas.learning import Chip
from schemas.parts import Source
from streams.kafka.partitioner import partition_of
from streams.kafka.topics import Topic
from streams.operations.topic_placement import Placement
from streams.roles import Role
from tests.sinks.examples import NOW, QUALITY

USERS = ["anna", "ursula", "zoë"]
"""No two of them belong together."""


def test_the_users_differ() -> None:
    assert len({partition_of(user, 5) for user in USERS}) == len(USERS)


@pytest.mark.parametrize("user", USERS)
def test_a_record_lies_with_its_user(user: str) -> None:
    own = [partition_of(user, 5)]
    for topic in (Topic.UPLOADS, Topic.MATCHES, Topic.SIGHTINGS, Topic.KEYS, Topic.REPLAYS):
        assert Placement(topic, 5).of(user.encode(), b"anything", 1) == own
    assert Placement(None, 5).of(f"{user}\x00template\x00v1".encode(), None, 1) == own
    assert Placement(Topic.OPEN_SIGHTINGS, 5).of(json.dumps([user, "door"]).encode(), None, 1) == own
    assert Placement(Topic.DRIFT_REFERENCES, 5).of(json.dumps(["reference", user, "door"]).encode(), None, 1) == own


@pytest.mark.parametrize("topic", [Topic.DEAD_LETTERS, Topic.RESOLUTIONS, Topic.MODELS, Topic.RUNS, Topic.PROBES])
def test_what_names_its_partition_stays_there(topic: Topic) -> None:
    assert [Placement(topic, 5).of(b"anna", b"anything", number) for number in range(5)] == [[n] for n in range(5)]


def chip(user: str) -> Chip:
    return Chip(
        new_event_id(), user, "otto", b"face", "some", QUALITY, Consent("tests", NOW), Source("uploads", 0, 1), NOW
    )


def delivery(user: str) -> HookDelivery:
    return HookDelivery("hook", "message", user, NOW, b"")


@pytest.mark.parametrize(
    ("topic", "make"), [(Topic.CHIPS, chip), (Topic.HOOK_DELIVERIES, delivery)], ids=["chips", "hooks"]
)
def test_a_tombstone_follows_what_it_removes(topic: Topic, make: Callable[[str], Chip | HookDelivery]) -> None:
    placement = Placement(topic, 5)
    for user in USERS:
        assert placement.of(user.encode(), codec.encode(make(user)), 1) == [partition_of(user, 5)]
    for user in USERS:
        assert placement.of(user.encode(), None, 1) == [partition_of(user, 5)]
    assert placement.of(b"whose record is gone", None, 1) == []
    assert placement.of(b"what cannot be read", b"\x00", 7) == [2]


def test_what_match_tells_everybody_is_in_every_partition_once() -> None:
    erasure_id = new_event_id()
    told = Erasure(erasure_id, "anna", NOW, stage=Role.MATCH, in_searches=True)
    own, placement = [partition_of("anna", 5)], Placement(Topic.ERASURES, 5)
    assert list(placement.of(b"anna", codec.encode(told), 0)) == [0, 1, 2, 3, 4]
    assert placement.of(b"anna", codec.encode(told), 1) == []
    for stage, in_searches in ((None, False), (Role.MATCH, False), (Role.SINK_REDIS, True)):
        other = Erasure(erasure_id, "anna", NOW, stage=stage, in_searches=in_searches)
        assert placement.of(b"anna", codec.encode(other), 1) == own
    placement.begin_waiting()
    assert list(placement.of(b"anna", codec.encode(told), 1)) == [0, 1, 2, 3, 4]


def test_a_record_without_a_key_keeps_to_the_number() -> None:
    assert Placement(Topic.UPLOADS, 5).of(None, b"anything", 8) == [3]
