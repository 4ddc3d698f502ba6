"""Sightings in Redis: each message once, in the order of the stream, and gone with whoever is erased."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
import redis

from schemas.as_json import to_json
from schemas.sightings import SightingState
from sinks.redis import RedisSink
from sinks.redis.keys import Keys
from sinks.redis.sighting_results import SightingResults
from sinks.redis.sightings import SightingEraser
from tests.sinks.examples import delivery, match, sighting


@pytest.fixture
def told(url: str) -> Iterator[SightingResults]:
    with closing(SightingResults(url)) as results:
        yield results


def changes(told: SightingResults, user: str = "ursula") -> list[str]:
    return [one.event["change_id"] for one in told.kept(user)]


def test_a_message_that_is_written_again_is_shown_once(sink: RedisSink, told: SightingResults) -> None:
    begin = sighting()
    end = sighting(sighting_id=begin.sighting_id, number=1, state=SightingState.END)
    sink.write([delivery(begin), delivery(match(), 5), delivery(begin, 1)])
    sink.write([delivery(begin), delivery(begin, 1), delivery(end, 2)])
    assert [one.event for one in told.kept("ursula")] == [to_json(begin), to_json(end)]
    assert told.kept("somebody else") == []


def test_following_gives_what_comes_after_an_entry(sink: RedisSink, told: SightingResults) -> None:
    sent = [sighting(number=n) for n in range(3)]
    sink.write([delivery(one, n) for n, one in enumerate(sent)])
    first = told.kept("ursula")[0]
    after = [one.event["change_id"] for one in told.follow("ursula", first.entry_id, timeout_s=0.2)]
    assert after == [one.change_id for one in sent[1:]]


def test_a_sighting_that_ever_named_a_subject_goes_from_its_first_message_on(
    sink: RedisSink, told: SightingResults, url: str
) -> None:
    first = sighting(subject_id=None, stranger_id="stranger-1")
    then = sighting(sighting_id=first.sighting_id, number=1, subject_id="otto")
    anna, of_bert = sighting(), sighting(user_id="bert", subject_id="otto")
    sink.write([delivery(one, n) for n, one in enumerate((first, then, anna, of_bert))])
    with closing(redis.Redis.from_url(url, decode_responses=True)) as client:
        assert SightingEraser(client, Keys(), dry_run=True).erase("ursula", "otto") == 2
        assert len(changes(told)) == 3, "counting changes nothing"
        assert sink.erase("ursula", "otto")["sightings"] == 2
        assert changes(told) == [anna.change_id]
        assert sink.erase("ursula", "otto")["sightings"] == 0
        assert sink.erase("ursula", None)["sightings"] == 1
        assert [name for name in client.scan_iter() if "{ursula}" in name] == []
    assert changes(told, "bert") == [of_bert.change_id]


def test_what_somebody_else_has_put_into_the_stream_is_left_out(
    sink: RedisSink, told: SightingResults, url: str
) -> None:
    sink.write([delivery(sighting())])
    with closing(redis.Redis.from_url(url)) as client:
        client.xadd("facestream:sightings:{ursula}", {"json": "not one"})
        client.xadd("facestream:sightings:{ursula}", {"other": "1"})
    assert len(changes(told)) == 1
