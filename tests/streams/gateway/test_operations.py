"""What those who run facestream read by HTTP is what the commands say; and what they do there."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest

from schemas import codec
from schemas.access import Scope
from schemas.clock import utc_now
from schemas.ids import new_event_id
from schemas.replays import Replay, ReplayState
from streams.kafka.log_reader import read_topic
from streams.kafka.topics import Topic
from streams.kafka.writer import RecordWriter
from streams.replay.store import ReplayStore, new_replay_id
from streams.settings import Settings
from tests.sinks.examples import dead_letter
from tests.streams.cli.conftest import Run
from tests.streams.gateway.conftest import MakeKey

Headers = dict[str, str]


@pytest.fixture(scope="module")
def ops(make_key: MakeKey) -> Headers:
    return make_key(Scope.OPS)


def read(http: httpx.Client, ops: Headers, what: str, **query: str) -> dict[str, Any]:
    answer = http.get(f"/api/v1/{what}", params=query, headers=ops)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_dead_letters_are_counted_as_the_command_does(
    http: httpx.Client, ops: Headers, settings: Settings, here: Run
) -> None:
    writer = RecordWriter(settings, Topic.DEAD_LETTERS)
    for reason, offset in (("unknown_schema", 1), ("unknown_schema", 2), ("no_key", 3)):
        letter = dead_letter(reason=reason, partition=0, offset=offset, topic=Topic.COMPARISONS.named(settings))
        writer.write(letter.letter_id, codec.encode(letter))
    assert here("dead-letters", "dismiss", "--reason", "no_key", "--because", "a test", "--json").code == 0
    for query, options in (
        ({}, ()),
        ({"reason": "unknown_schema"}, ("-r", "unknown_schema")),
        ({"dismissed": "true"}, ("--all",)),
    ):
        assert read(http, ops, "dead-letters", **query) == here("dead-letters", "list", *options, "--json").json
    assert read(http, ops, "dead-letters")["groups"][0]["open"] >= 2
    wrong = http.get("/api/v1/dead-letters?reason=nonsense", headers=ops)
    assert (wrong.status_code, wrong.json()["reason"]) == (422, "invalid_request")


def test_replays_stand_as_the_command_says(http: httpx.Client, ops: Headers, settings: Settings, here: Run) -> None:
    now = utc_now()
    made = [
        Replay(new_replay_id(now), "frames", state, False, now, now, [], [], [], 9, 3, 1.5, "", started_at, now)
        for state, started_at in ((ReplayState.FINISHED, now), (ReplayState.STOPPED, now + timedelta(seconds=1)))
    ]
    for replay in made:
        ReplayStore(settings).save(replay)
    found = read(http, ops, "replays")
    assert found == here("replay", "list", "--json").json
    assert [one["state"] for one in found["replays"]] == ["finished", "stopped"]
    assert [one["replay_id"] for one in read(http, ops, "replays", limit="1")["replays"]] == [made[1].replay_id]


def test_shards_are_as_the_command_says(http: httpx.Client, ops: Headers, here: Run) -> None:
    said, found = here("shards", "--role", "match", "--json").json, read(http, ops, "shards", role="match")
    assert found["partitions"] == said["partitions"] == 2
    assert list(found["roles"]) == ["match"]
    assert [sorted(one) for one in found["roles"]["match"]["partitions"]] == [
        sorted(one) for one in said["roles"]["match"]["partitions"]
    ]
    assert {"embed", "match", "sink-redis"} <= read(http, ops, "shards")["roles"].keys()
    assert http.get("/api/v1/shards?role=nobody", headers=ops).json()["reason"] == "invalid_request"


def test_models_and_their_steps(http: httpx.Client, ops: Headers, here: Run) -> None:
    before = {one["version"]: one for one in read(http, ops, "models")["versions"]}
    listed = here("models", "list", "--json").json["versions"]
    assert {one["version"] for one in listed} == before.keys()
    other = next(name for name, one in before.items() if not one["answers"])
    assert here("models", "shadow", other, "--no-fill", "--reason", "to try it", "--json").code == 0
    try:
        now = {one["version"]: one for one in read(http, ops, "models")["versions"]}[other]
        assert (now["state"], now["reason"], now["filled"], now["answers"]) == ("shadow", "to try it", False, False)
    finally:
        assert here("models", "rollback", "--json").code == 0


def test_runs(http: httpx.Client, ops: Headers, here: Run) -> None:
    assert read(http, ops, "runs") == here("runs", "list", "--skipped", "--json").json == {"runs": []}


def test_what_is_about_everybody_needs_a_key_for_all(http: httpx.Client, make_key: MakeKey) -> None:
    answer = http.get("/api/v1/shards", headers=make_key(Scope.OPS, user=f"user-{new_event_id()}"))
    assert (answer.status_code, answer.json()["reason"]) == (403, "wrong_user")


def test_steps_of_a_rollout(http: httpx.Client, ops: Headers, here: Run) -> None:
    versions = read(http, ops, "models")["versions"]
    other = next(one["version"] for one in versions if not one["answers"])

    def take(step: str, version: str = other, **fields: Any) -> tuple[int, dict[str, Any]]:
        answer = http.post(f"/api/v1/models/{version}/{step}", json=fields, headers=ops)
        return answer.status_code, answer.json()

    assert take("shadow", reason="to try it") == (200, {"version": other, "state": "shadow", "percent": 0.0})
    try:
        now = next(one for one in read(http, ops, "models")["versions"] if one["version"] == other)
        key_id = ops["Authorization"].split("_")[1]
        assert now["reason"] == f"to try it (by the key fs_{key_id})"
        for step, fields in (("canary", {"percent": 5}), ("promote", {})):
            status, problem = take(step, **fields)
            assert (status, problem["reason"]) == (409, "not_possible"), "it has no templates"
        assert take("canary", percent=5, force=True) == (200, {"version": other, "state": "canary", "percent": 5.0})
    finally:
        assert take("rollback")[1]["state"] == "candidate"
    assert take("shadow", "nonesuch")[1]["reason"] == "unknown_version"
    for step, fields in (("canary", {}), ("shadow", {"percent": 5}), ("canary", {"percent": 101}), ("retire", {})):
        status, problem = take(step, **fields)
        assert (status, problem["reason"]) == (422, "invalid_request"), step


def test_dead_letters_go_back_once(http: httpx.Client, ops: Headers, settings: Settings) -> None:
    """Onto a topic that no worker of these tests reads."""
    writer, key = RecordWriter(settings, Topic.DEAD_LETTERS), new_event_id().encode()
    for offset in range(3):
        letter = dead_letter(
            topic=Topic.COMPARISONS.named(settings), reason="malformed_event", partition=1, offset=offset, key=key
        )
        writer.write(letter.letter_id, codec.encode(letter))

    def redrive(**fields: Any) -> dict[str, Any]:
        answer = http.post("/api/v1/dead-letters/redrive", json={"reasons": ["malformed_event"]} | fields, headers=ops)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    assert redrive(dry_run=True) == {
        "letters": 3,
        "reasons": {"malformed_event": 3},
        "dry_run": True,
        "run_id": None,
        "sent": 0,
        "problems": [],
    }
    done = redrive()
    assert (done["letters"], done["sent"], done["problems"]) == (3, 3, []) and done["run_id"]
    assert redrive()["letters"] == 0
    (group,) = read(http, ops, "dead-letters", reason="malformed_event")["groups"]
    assert (group["open"], group["sent"]) == (0, 3)
    assert [one.key for one in read_topic(settings, Topic.COMPARISONS)].count(key) == 3
    wrong = http.post("/api/v1/dead-letters/redrive", json={"reasons": ["nonsense"]}, headers=ops)
    assert (wrong.status_code, wrong.json()["reason"]) == (422, "invalid_request")
