"""What somebody else has put under a key of ours, of whatever type, harms its own event at most."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis

from infra.supervisor import Supervisor
from schemas.as_json import to_json
from schemas.partition import TopicPartition
from sinks.base import Delivery, Position, RejectedRow, SinkFenced
from sinks.redis import RedisResults, RedisSink
from sinks.redis.keys import Keys
from tests.sinks.examples import delivery, enrolment, match
from tests.sinks.servers import Redis, start_redis

EVE = "evelyn"
KEYS = Keys()
MATCH, ENROLMENT, REPLAYED = match(user_id=EVE), enrolment(user_id=EVE), match(user_id=EVE, replay_id="r1")
CORRECTION = match(user_id=EVE, event_id=MATCH.event_id, replay_id="r2", corrects=True)
MENDED = enrolment(user_id=EVE, event_id=ENROLMENT.event_id, replay_id="r2", corrects=True)
OF_EVE = [MATCH, ENROLMENT, REPLAYED, CORRECTION, MENDED]

TOUCHED = {
    "result": KEYS.result(MATCH.event_id),
    "enrolment": KEYS.enrolment(ENROLMENT.event_id),
    "replayed result": KEYS.result(REPLAYED.event_id, "r1"),
    "answers": KEYS.answers(EVE),
    "latest": KEYS.latest(EVE, "door"),
    "live": KEYS.live(EVE),
    "subjects": KEYS.subjects(EVE),
    "seen match": KEYS.seen(EVE, MATCH.event_id),
    "seen enrolment": KEYS.seen(EVE, ENROLMENT.event_id),
    "mark": KEYS.written("matches", 0),
}
FOREIGN: dict[str, Callable[[redis.Redis, str], object]] = {
    "text": lambda client, key: client.set(key, "not ours"),
    "bytes": lambda client, key: client.set(key, b"\xff\x00\xfe"),
    "JSON": lambda client, key: client.set(key, '{"corrects": true, "captured_at": 7, "matched_at": []}'),
    "an answer cut short": lambda client, key: client.set(
        key, '{"event_id": "e", "user_id": "evelyn", "subject_id": 1}'
    ),
    "list": lambda client, key: client.rpush(key, "a"),
    "set": lambda client, key: client.sadd(key, "a"),
    "hash": lambda client, key: client.hset(key, "a", "b"),
    "sorted set": lambda client, key: client.zadd(key, {"a": 1e12}),
    "stream": lambda client, key: client.xadd(key, {"a": "b"}),
    "full stream": lambda client, key: client.xadd(key, {"a": "b"}, id="18446744073709551615-18446744073709551615"),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with Supervisor() as supervisor:
        yield start_redis(supervisor, tmp_path_factory.mktemp("redis"))


@pytest.fixture
def client(server: Redis) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
        yield client


@pytest.fixture
def sink(server: Redis, client: redis.Redis) -> Iterator[RedisSink]:
    sink = RedisSink(server.url)
    yield sink
    sink.close()


@pytest.fixture
def results(server: Redis) -> Iterator[RedisResults]:
    results = RedisResults(server.url)
    yield results
    results.close()


def drive(sink: RedisSink, batch: list[Delivery]) -> set[str]:
    """Write as a sink's worker does; the ids of events that became dead letters."""
    refused: set[str] = set()
    for _ in range(len(batch) + 2):
        try:
            sink.write(batch)
        except RejectedRow as error:
            refused |= {one.event.event_id for one in error.deliveries}  # type: ignore[union-attr]
            batch = [one for one in batch if one not in error.deliveries]
        except SinkFenced:
            sink.assign([Position(partition, 0, "") for partition in {one.partition for one in batch}])
        else:
            sink.check()
            return refused
    raise AssertionError("it is not written in the end")


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("touched", TOUCHED)
def test_neighbours_go_on(touched: str, kind: str, client: redis.Redis, sink: RedisSink, results: RedisResults) -> None:
    FOREIGN[kind](client, TOUCHED[touched])
    sink.assign([Position(TopicPartition(topic, 0), 0, "") for topic in ("matches", "enrolments")])
    seen, enrolled = match(), enrolment()
    batch = [delivery(one, offset) for offset, one in enumerate([*OF_EVE, seen, enrolled])]
    refused = drive(sink, batch)
    assert refused <= {one.event_id for one in OF_EVE}
    found = results.answers([seen.event_id, enrolled.event_id, MATCH.event_id, ENROLMENT.event_id])
    assert found[seen.event_id] == to_json(seen)
    assert found[enrolled.event_id] == to_json(enrolled)
    assert results.latest("ursula", "door") == to_json(seen)
    assert results.subjects("ursula").keys() == {"anna"}
    shown = [entry.event["event_id"] for entry in results.follow("ursula", after="0", timeout_s=0.05)]
    assert set(shown) == {seen.event_id, enrolled.event_id}
    for event in OF_EVE[:3]:
        assert event.event_id in refused or results._get([KEYS.answer(event)])[0] is not None, "answered or refused"


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("touched", TOUCHED)
def test_a_person_is_erased_all_the_same(
    touched: str, kind: str, client: redis.Redis, sink: RedisSink, results: RedisResults
) -> None:
    sink.write([delivery(one, offset) for offset, one in enumerate([*OF_EVE, match()])])
    client.delete(TOUCHED[touched])
    FOREIGN[kind](client, TOUCHED[touched])
    sink.erase(EVE, "anna")
    assert b"anna" not in b"".join(client.dump(key) or b"" for key in client.keys("*evelyn*"))
    sink.erase(EVE, None)
    left = [name for name in client.scan_iter() if EVE.encode() in name or EVE in repr(results._get([name.decode()]))]
    assert [name for name in left if name.decode() != TOUCHED[touched]] == []
    assert results.latest("ursula", "door") is not None


def test_an_index_that_was_made_anew_hides_nothing_from_an_erasure(client: redis.Redis, sink: RedisSink) -> None:
    before, after = match(user_id=EVE), match(user_id=EVE)
    sink.write([delivery(before)])
    client.set(KEYS.answers(EVE), "somebody else's")
    sink.write([delivery(after, 1)])
    assert sink.erase(EVE, None)["answers"] == 2
    assert client.exists(KEYS.result(before.event_id), KEYS.result(after.event_id)) == 0
