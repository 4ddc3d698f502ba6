"""Hooks by HTTP are those of the command line: made once, tried, and removed by their whole ids."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest

from schemas.access import Scope
from schemas.ids import new_event_id
from streams.gateway.context import Context
from streams.hooks.secrets import load_hook_key
from streams.hooks.store import find_hook
from streams.settings import Settings
from tests.streams.cli.conftest import Run
from tests.streams.gateway.conftest import MakeKey
from tests.streams.hooks.conftest import Receiver, receiver

__all__ = ["receiver"]

URL = "/api/v1/hooks"
Headers = dict[str, str]


@pytest.fixture(scope="module")
def ops(make_key: MakeKey) -> Headers:
    return make_key(Scope.OPS, Scope.READ)


def add(http: httpx.Client, ops: Headers, **fields: Any) -> httpx.Response:
    # As ASCII, so that a test can send what is no text.
    return http.post(URL, content=json.dumps(fields), headers=ops | {"Content-Type": "application/json"})


def test_a_hook_is_made_listed_tried_and_removed(
    http: httpx.Client, ops: Headers, settings: Settings, here: Run, receiver: Receiver
) -> None:
    made = add(http, ops, address=receiver.address, user_id="anna", name="office").json()
    hook_id = made["hook_id"]
    assert made["kinds"] == ["sighting.begin", "sighting.end", "enrolment.enrolled", "enrolment.refused"]
    assert made["created_by"] == f"the key fs_{ops['Authorization'].split('_')[1]}"
    assert made["secret"] == load_hook_key(settings).secret_of(find_hook(settings, hook_id)).text

    listed = http.get(URL, headers=ops)
    said = {one["hook_id"]: one for one in here("hooks", "list", "--json").json["hooks"]}
    assert {one["hook_id"]: one for one in listed.json()["hooks"]} == said
    assert said[hook_id] == {name: value for name, value in made.items() if name != "secret"}
    assert made["secret"] not in listed.text and "secret_sha256" not in listed.text

    tried = http.post(f"{URL}/{hook_id}/test", headers=ops)
    assert tried.json() == {"hook_id": hook_id, "accepted": True, "answer": "it has answered 200"}
    assert [(one["type"], one["data"]) for one in receiver.accepted] == [("test", {"hook_id": hook_id})]
    receiver.status = 500
    failed = http.post(f"{URL}/{hook_id}/test", headers=ops)
    assert (failed.status_code, failed.json()["accepted"], failed.json()["answer"]) == (
        200,
        False,
        "it has answered 500",
    )

    for method, url in (("POST", f"{URL}/{hook_id[:-1]}/test"), ("DELETE", f"{URL}/{hook_id[:-1]}")):
        answer = http.request(method, url, headers=ops)
        assert (answer.status_code, answer.json()["reason"]) == (404, "unknown_hook"), "only the beginning of an id"
    assert len(receiver.got) == 2
    assert http.delete(f"{URL}/{hook_id}", headers=ops).json() == {"hook_id": hook_id}
    assert http.delete(f"{URL}/{hook_id}", headers=ops).json()["reason"] == "unknown_hook"
    assert hook_id not in http.get(URL, headers=ops).text


def test_the_same_twice_makes_one_hook(http: httpx.Client, ops: Headers, make_key: MakeKey, receiver: Receiver) -> None:
    once = {"Idempotency-Key": uuid.uuid4().hex}
    fields = {"address": receiver.address, "all_users": True, "events": ["sighting"]}
    first, again = (add(http, ops | once, **fields).json() for _ in range(2))
    assert first == again and first["kinds"] == ["sighting.begin", "sighting.update", "sighting.end"]
    for changed in ({"events": ["enrolment"]}, {"name": "office"}, {"address": f"{receiver.address}2"}):
        other = add(http, ops | once, **fields | changed)
        assert (other.status_code, other.json()["reason"]) == (409, "not_possible"), changed
    somebody = add(http, make_key(Scope.OPS, Scope.READ) | once, **fields).json()
    assert somebody["hook_id"] != first["hook_id"] and somebody["secret"] != first["secret"]
    listed = [one["hook_id"] for one in http.get(URL, headers=ops).json()["hooks"]]
    assert listed.count(first["hook_id"]) == 1
    wrong = add(http, ops | {"Idempotency-Key": '""'}, **fields)
    assert (wrong.status_code, wrong.json()["reason"]) == (422, "invalid_request")


@pytest.mark.parametrize(
    ("fields", "reason", "said"),
    [
        ({"address": "http://93.184.215.14/", "user_id": "anna"}, "invalid_request", "https"),
        ({"address": "https://anna:secret@example.org/", "user_id": "anna"}, "invalid_request", "password"),
        ({"address": "https://example.org/"}, "invalid_request", "all_users"),
        ({"address": "https://example.org/", "user_id": "anna", "all_users": True}, "invalid_request", "all_users"),
        ({"address": "https://example.org/", "user_id": "\u200b"}, "invalid_id", "user_id"),
        ({"address": "https://example.org/", "all_users": True, "events": ["matches"]}, "invalid_request", "no kind"),
        ({"address": "https://example.org/", "all_users": True, "events": []}, "invalid_request", "at least one"),
        ({"address": "https://example.org/", "all_users": True, "name": "\ud800"}, "invalid_request", "name"),
    ],
)
def test_what_cannot_be_a_hook_is_refused(
    http: httpx.Client, ops: Headers, fields: dict[str, Any], reason: str, said: str
) -> None:
    answer = add(http, ops, **fields)
    assert (answer.status_code, answer.json()["reason"]) == (422, reason)
    assert said in answer.json()["detail"]


def test_a_hook_needs_the_key_file_of_the_workers(
    http: httpx.Client,
    ops: Headers,
    context: Context,
    receiver: Receiver,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fields = {"address": receiver.address, "user_id": "anna"}
    hook_id = add(http, ops, **fields).json()["hook_id"]
    other = tmp_path / "other.key"
    other.write_text("k" * 40)
    for file, makes in ((tmp_path / "other.key" / "none", False), (other, True)):
        monkeypatch.setattr(context, "settings", context.settings.model_copy(update={"hook_key_file": file}))
        for answer in (http.post(f"{URL}/{hook_id}/test", headers=ops), *([] if makes else [add(http, ops, **fields)])):
            assert (answer.status_code, answer.json()["reason"]) == (409, "not_possible")
            assert "FACESTREAM_HOOK_KEY_FILE" in answer.json()["detail"] and str(tmp_path) not in answer.text
    assert not receiver.got
    assert http.delete(f"{URL}/{hook_id}", headers=ops).status_code == 200, "which needs no key file"


def test_a_key_of_one_user_cannot_have_others_posted(http: httpx.Client, make_key: MakeKey, receiver: Receiver) -> None:
    user = f"user-{new_event_id()}"
    answer = add(http, make_key(user=user), address=receiver.address, user_id=user)
    assert (answer.status_code, answer.json()["reason"]) == (403, "wrong_user")
    blind = add(http, make_key(Scope.OPS), address=receiver.address, all_users=True)
    assert (blind.status_code, blind.json()["reason"]) == (403, "missing_scope")
