"""What was seen, by HTTP: the same from Redis and from BigQuery, in pages, and for nobody else."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import timedelta
from typing import Any

import httpx
import pytest

from schemas.as_json import to_json
from schemas.ids import new_event_id
from schemas.ingest import Mode
from schemas.parts import Decision, Refusal
from schemas.results import Outcome
from schemas.sightings import SightingState
from sinks.bigquery import Address
from sinks.bigquery.user_history import UserHistory
from streams.client import AsyncHttpClient, HttpClient
from streams.gateway.context import Context
from streams.gateway.slow import SlowCalls
from streams.settings import Settings
from tests.sinks.examples import NOW, enrolment, face, match, sighting
from tests.streams.gateway.conftest import keep, served

Headers = dict[str, str]


@pytest.mark.parametrize("history", ["false", "true"])
def test_what_was_seen_is_told_from_redis_and_from_bigquery(
    http: httpx.Client, everything: Headers, settings: Settings, user: str, history: str
) -> None:
    first, second, third = (
        match(user_id=user, captured_at=NOW + timedelta(seconds=n), camera_id=camera, faces=[face(subject_id=name)])
        for n, (camera, name) in enumerate((("door", "anna"), ("gate", "otto"), ("door", "otto")))
    )
    corrected = dataclasses.replace(first, replay_id="r1", corrects=True, faces=[face(Decision.UNKNOWN, None)])
    came = sighting(user_id=user)
    gone = dataclasses.replace(came, change_id=new_event_id(), number=1, state=SightingState.END)
    keep(settings, first, second, third, corrected, match(user_id=user, mode=Mode.SEARCH), came, gone)

    def get(what: str, **query: str) -> dict[str, Any]:
        url = f"/api/v1/users/{user}/{what}"
        answer = http.get(url, params=query | {"history": history}, headers=everything)
        assert answer.status_code == 200, answer.text
        assert answer.json()["source"] == ("bigquery" if history == "true" else "redis")
        found: dict[str, Any] = answer.json()
        return found

    newest = get("matches", limit="2")
    assert newest["matches"] == [to_json(third), to_json(second)]
    oldest = get("matches", limit="2", after=newest["next"])
    assert (oldest["matches"], oldest["next"]) == ([to_json(corrected)], None)
    assert get("matches", subject_id="otto", camera_id="door")["matches"] == [to_json(third)]
    assert get("matches", subject_id="anna")["matches"] == [], "it was corrected"
    assert get("matches", to=newest["matches"][1]["captured_at"])["matches"] == [to_json(corrected)]
    assert get("sightings")["sightings"] == [to_json(gone)]
    assert get("sightings", subject_id="otto")["sightings"] == []
    door, gate = get("cameras")["cameras"]
    assert (door["camera_id"], door["frames"]) == ("door", 2)
    assert door["last_captured_at"] == to_json(third)["captured_at"]
    assert gate["camera_id"] == "gate"
    other = http.get(f"/api/v1/users/{user}-2/matches?history={history}", headers=everything)
    assert other.json()["matches"] == []


@pytest.mark.parametrize("history", ["false", "true"])
def test_a_subject_and_what_became_of_the_photos(
    http: httpx.Client, everything: Headers, settings: Settings, user: str, history: str
) -> None:
    good, poor, other = (
        enrolment(user_id=user, created_at=NOW + timedelta(seconds=n), **values)
        for n, values in enumerate(
            (
                {},
                {"outcome": Outcome.REFUSED, "refusal": Refusal("no_face", "nobody"), "templates": 0},
                {"subject_id": "otto"},
            )
        )
    )
    keep(settings, good, poor, other)
    url = f"/api/v1/users/{user}/subjects"
    found = http.get(f"{url}/anna", params={"history": history}, headers=everything).json()
    assert (found["subject_id"], found["templates"]) == ("anna", 1)
    assert found["photos"] == [to_json(poor), to_json(good)]
    first = http.get(f"{url}/anna", params={"history": history, "limit": "1"}, headers=everything).json()
    second = http.get(f"{url}/anna", params={"history": history, "after": first["next"]}, headers=everything).json()
    assert first["photos"] + second["photos"] == found["photos"]
    nobody = http.get(f"{url}/berta", params={"history": history}, headers=everything)
    assert (nobody.status_code, nobody.json()["reason"]) == (404, "unknown_subject")


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"after": "nonsense"}, "invalid_request"),
        ({"from": "yesterday"}, "invalid_request"),
        ({"from": "2026-11-24T08:03:56"}, "invalid_request"),
        ({"from": "0001-01-01T00:00:00+12:00"}, "invalid_request"),
        ({"history": "true", "from": "2020-01-01T00:00:00Z"}, "invalid_request"),
        ({"limit": "501"}, "invalid_request"),
        ({"camera_id": " "}, "invalid_id"),
        ({"subject_id": "an\u200bna"}, "invalid_id"),
    ],
)
def test_what_cannot_be_asked(http: httpx.Client, everything: Headers, query: dict[str, str], reason: str) -> None:
    for what in ("matches", "sightings"):
        answer = http.get(f"/api/v1/users/anna/{what}", params=query, headers=everything)
        assert (answer.status_code, answer.json()["reason"]) == (422, reason)


def test_bigquery_may_be_away_and_redis_answers(
    http: httpx.Client, everything: Headers, context: Context, settings: Settings
) -> None:
    away = UserHistory(Address("facestream", "facestream", "http://127.0.0.1:1"), timeout_s=1.0)
    with served(dataclasses.replace(context, history=away, slow=SlowCalls(1), draining=asyncio.Event())) as other:
        for what in ("matches", "sightings", "cameras"):
            refused = other.get(f"/api/v1/users/anna/{what}?history=true", headers=everything)
            assert (refused.status_code, refused.json()["reason"]) == (503, "history_unavailable")
            assert refused.headers["Retry-After"] == "10" and "127.0.0.1" not in refused.text
            assert other.get(f"/api/v1/users/anna/{what}", headers=everything).status_code == 200


def test_the_clients_read_all_pages(http: httpx.Client, everything: Headers, settings: Settings, user: str) -> None:
    seen = [match(user_id=user, captured_at=NOW + timedelta(seconds=n)) for n in range(120)]
    came, photo = sighting(user_id=user), enrolment(user_id=user)
    keep(settings, *seen, came, photo)
    key = everything["Authorization"].removeprefix("Bearer ")
    with HttpClient(str(http.base_url), key) as client:
        found = list(client.matches(user, camera_id="door", since=NOW + timedelta(seconds=10), history=True))
        assert [one.event_id for one in found] == [one.event_id for one in reversed(seen[10:])]
        assert [one.event_id for one in client.matches(user)] == [one.event_id for one in reversed(seen)]
        assert list(client.matches(user, until=NOW)) == []
        assert [one.change_id for one in client.sightings(user, subject_id="anna")] == [came.change_id]
        assert [one.event_id for one in client.photos(user, "anna")] == [photo.event_id]
        assert client.cameras(user) == {"door": seen[-1].captured_at}

    async def run() -> None:
        async with AsyncHttpClient(str(http.base_url), key) as client:
            assert [one.event_id async for one in client.matches(user)] == [one.event_id for one in reversed(seen)]
            assert [one.change_id async for one in client.sightings(user)] == [came.change_id]
            assert [one.event_id async for one in client.photos(user, "anna", history=True)] == [photo.event_id]
            assert await client.cameras(user, history=True) == {"door": seen[-1].captured_at}

    asyncio.run(run())
