"""Feedback by HTTP: on frames of Redis and of BigQuery, and on nobody else's."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from schemas.access import Scope
from schemas.ids import new_event_id
from schemas.ingest import Mode
from schemas.learning import Feedback
from streams.client import AsyncHttpClient, HttpClient
from streams.feedback.store import read_feedback
from streams.settings import Settings
from tests.sinks.examples import enrolment, face, match
from tests.streams.gateway.conftest import MakeKey, keep

Headers = dict[str, str]
URL = "/api/v1/feedback"


def test_the_last_that_is_said_of_a_face_counts(
    http: httpx.Client, everything: Headers, settings: Settings, user: str
) -> None:
    now, past = match(user_id=user), match(user_id=user, faces=[face(), face(subject_id="otto")])
    keep(settings, now, enrolment(user_id=user))
    keep(settings, past, redis=False)

    def say(event_id: str, statement: str = "is", **fields: Any) -> dict[str, Any]:
        body = {"event_id": event_id, "statement": statement, "subject_id": "anna"} | fields
        answer = http.post(URL, json=body, headers=everything)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    first = say(now.event_id)
    assert (first["user_id"], first["face"], first["is_new"]) == (user, 0, True)
    assert say(now.event_id.upper()) == first | {"is_new": False}
    assert say(now.event_id, "is_not")["replaces"] == first["feedback_id"]
    assert say(past.event_id, face=1, training=True)["matched_subject_id"] == "otto"
    last = read_feedback(settings).last
    assert last[now.event_id, 0].statement == "is_not" and last[past.event_id, 1].training


def test_what_feedback_is_refused(
    http: httpx.Client, everything: Headers, make_key: MakeKey, settings: Settings, user: str
) -> None:
    seen, search, photo = match(user_id=user), match(user_id=user, mode=Mode.SEARCH), enrolment(user_id=user)
    keep(settings, seen, search, photo)
    past = match(user_id=user)
    keep(settings, past, redis=False)

    def refusal(key: Headers, event_id: str, **fields: Any) -> tuple[int, str]:
        body = {"event_id": event_id, "statement": "is", "subject_id": "anna"} | fields
        answer = http.post(URL, json=body, headers=key)
        return answer.status_code, answer.json().get("reason", "")

    bob, camera = make_key(Scope.READ, Scope.UPLOAD, user="bob"), make_key(Scope.READ, user=user)
    for event_id in (seen.event_id, past.event_id, new_event_id()):
        assert refusal(bob, event_id) == (404, "unknown_event")
    assert refusal(camera, seen.event_id) == (403, "missing_scope")
    for event_id in (search.event_id, photo.event_id):
        assert refusal(everything, event_id) == (422, "invalid_request")
    for wrong in ({"face": 1}, {"face": -1}, {"statement": "maybe"}, {"subject_id": "berta"}, {"more": 1}):
        assert refusal(everything, seen.event_id, **wrong) == (422, "invalid_request"), wrong
    assert refusal(everything, "no id") == (422, "invalid_id")
    other = http.post(URL, content=b"event_id=1", headers=everything | {"Content-Type": "text/plain"})
    assert (other.status_code, other.json()["reason"]) == (415, "unsupported_type")
    large = http.post(URL, content=b"{" + b" " * 70_000, headers=everything | {"Content-Type": "application/json"})
    assert large.status_code == 413


def test_the_clients_give_feedback(http: httpx.Client, everything: Headers, settings: Settings, user: str) -> None:
    seen = match(user_id=user)
    keep(settings, seen, enrolment(user_id=user))
    key = everything["Authorization"].removeprefix("Bearer ")
    with HttpClient(str(http.base_url), key) as client:
        said = client.feedback(seen.event_id, "anna")
        assert isinstance(said, Feedback) and (said.statement, said.user_id) == ("is", user)

    async def run() -> None:
        async with AsyncHttpClient(str(http.base_url), key) as client:
            assert (await client.feedback(seen.event_id, "anna", wrong=True)).replaces == said.feedback_id

    asyncio.run(run())
