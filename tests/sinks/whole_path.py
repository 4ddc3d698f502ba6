"""Everything that facestream does with Redis, once: for servers that are reached or built in another way."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from contextlib import closing
from datetime import UTC, datetime

import pytest

from schemas.as_json import to_json
from schemas.ids import new_event_id
from schemas.ingest import Mode
from schemas.results import Match
from sinks.base import Position
from sinks.redis import RedisAddress, RedisResults, RedisSink
from sinks.redis.live import LiveStreams
from sinks.redis.sighting_results import SightingResults
from streams.api_keys.last_use import LastUse
from streams.gateway.claims import EventClaims
from streams.gateway.problems import Problem
from streams.gateway.rate import RateLimit
from streams.settings import Settings
from tests.sinks.examples import delivery, enrolment, face, match, sighting

USERS = ("ursula", "bert", "carla", "dora", "emil", "fritz")
"""Enough for every shard of a small cluster to have some."""


def walk(settings: Settings) -> None:
    """Write, read, follow and erase, as the sink, applications, the gateway and the commands do."""
    answers_are_written_and_read(settings)
    answers_are_followed(settings)
    people_are_erased(settings)
    asyncio.run(the_gateway_counts(settings))
    keys_are_used(settings)


def answers_are_written_and_read(settings: Settings) -> None:
    matches = [match(user_id=user, source=dataclasses.replace(match().source, partition=0)) for user in USERS]
    enrolments = [enrolment(user_id=user) for user in USERS]
    batch = [delivery(one, n, n % 3) for n, one in enumerate([*matches, *enrolments])]
    batch += [delivery(sighting(user_id=user), n, n % 3) for n, user in enumerate(USERS)]
    sink = RedisSink(RedisAddress.of(settings), settings.redis_prefix)
    with closing(sink), closing(RedisResults.of(settings)) as results, closing(SightingResults.of(settings)) as told:
        positions = [Position(one, 0, "") for one in {each.partition for each in batch}]
        assert not sink.assign(positions)
        sink.write(batch)
        sink.write(batch)  # as after a crash
        sink.check()
        found = results.answers([one.event_id for one in (*matches, *enrolments)])
        assert found == {one.event_id: to_json(one) for one in (*matches, *enrolments)}
        for one in matches:
            assert results.latest(one.user_id, "door") == to_json(one)
            assert results.subjects(one.user_id) == {"anna": 1}
            shown = [entry.event["event_id"] for entry in results.recent(None, [one.user_id])]
            assert len(shown) == 2, "each once"
            assert len(told.kept(one.user_id)) == 1
            assert len(results.kept_matches(one.user_id, 10)) == 1
        assert len(results.recent(100, within_s=30)) == 2 * len(USERS)
        positions = [Position(one.partition, one.offset, sink.note(one.partition)) for one in positions]
        assert not sink.assign(positions), "nothing is lost"


def answers_are_followed(settings: Settings) -> None:
    sink = RedisSink(RedisAddress.of(settings), settings.redis_prefix)
    with closing(sink), closing(RedisResults.of(settings)) as results:
        everybody = results.follow_all()
        sent = [match(user_id=user, camera_id="gate") for user in USERS]
        partition = delivery(sent[0], number=7).partition
        sink.assign([Position(partition, 0, "")])
        sink.write([delivery(one, n, 7) for n, one in enumerate(sent)])
        assert {next(everybody).event["event_id"] for _ in sent} == {one.event_id for one in sent}
        everybody.close()  # type: ignore[attr-defined]
        last = [entry.event["event_id"] for entry in results.follow("ursula", "0", timeout_s=0.1)][-1]
        assert last == sent[0].event_id
    asyncio.run(_followed_by_many(settings, sent))


async def _followed_by_many(settings: Settings, sent: list[Match]) -> None:
    live = LiveStreams.of(settings)

    async def last_of(user: str) -> str:
        assert await live.keeps_all_after(user, "0")
        assert await live.last_id(user) != "0"
        async for entry in live.follow(user, "0"):
            if entry is not None and entry.event["event_id"] in {one.event_id for one in sent}:
                return str(entry.event["event_id"])
        raise AssertionError("it ends")

    try:
        assert await asyncio.gather(*map(last_of, USERS)) == [one.event_id for one in sent]
    finally:
        await live.close()


def people_are_erased(settings: Settings) -> None:
    """After the answers of :func:`answers_are_written_and_read` and :func:`answers_are_followed`."""
    theirs = dataclasses.replace(face(), user_id="bert", subject_id="anna")
    search = match(user_id="ursula", mode=Mode.SEARCH, faces=[theirs])
    sink = RedisSink(RedisAddress.of(settings), settings.redis_prefix)
    with closing(sink), closing(RedisResults.of(settings)) as results:
        sink.write([delivery(search, 0, 9)])
        assert sink.erase_in_searches("bert", None, erasure_id=new_event_id(), partition=9) == {"searches": 1}
        left = results.result(search.event_id)
        assert left is not None and left["faces"][0]["subject_id"] is None
        assert sink.erase("bert", None) == {"answers": 3, "latest": 2, "live": 3, "subjects": 1, "sightings": 1}
        assert sink.erase("bert", None) == {"answers": 0, "latest": 0, "live": 0, "subjects": 0, "sightings": 0}
        assert sink.erase("carla", "anna") == {"answers": 3, "latest": 2, "live": 3, "subjects": 1, "sightings": 1}
        assert results.recent(None, ["bert", "carla"]) == []
        assert len(results.recent(None, ["dora"])) == 3


async def the_gateway_counts(settings: Settings) -> None:
    claims, rate = EventClaims(settings), RateLimit(settings.model_copy(update={"gateway_requests_per_s": 0.001}))
    try:
        for _ in range(20):
            event_id = new_event_id()
            await claims.claim(event_id, "ursula")
            await claims.claim(event_id, "ursula")
            with pytest.raises(Problem):
                await claims.claim(event_id, "bert")
        for user in USERS:
            await rate.take("key", user)
            with pytest.raises(Problem):
                await rate.take("key", user)
    finally:
        await claims.close()
        await rate.close()


def keys_are_used(settings: Settings) -> None:
    at = datetime(2026, 11, 30, tzinfo=UTC)
    with closing(LastUse(settings)) as use:
        threads = [threading.Thread(target=use.write, args=({f"k{number}": at},)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert use.read() == {f"k{number}": at for number in range(3)}
