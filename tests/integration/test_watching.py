"""What an application and a watcher see in Redis."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import cast

import pytest
import redis

from schemas.clock import utc_now
from sinks.redis import LiveEntry, RedisResults
from tests.integration import pictures
from tests.integration.clients import TIMEOUT_S, Clients, eventually, named
from tests.integration.conftest import Portraits


@pytest.fixture
def server(clients: Clients) -> Iterator[redis.Redis]:
    """Redis by its own client, as an application in another language sees it."""
    with redis.Redis.from_url(clients.settings.redis_url, decode_responses=True) as connected:
        yield connected


def test_an_answer_is_whole(clients: Clients, host: str, portraits: Portraits) -> None:
    sent = clients.producer.frame(host, portraits.obama2, camera_id="door", sequence=41)
    delivered = sent.result(30)
    answer = clients.answer(sent.event_id)
    assert (answer["event_id"], answer["user_id"], answer["camera_id"]) == (sent.event_id, host, "door")
    assert (answer["sequence"], answer["mode"], answer["refusal"]) == (41, "identify", None)
    assert answer["source"] == {
        "topic": delivered.topic,
        "partition": delivered.partition,
        "offset": delivered.offset,
    }
    (face,) = answer["faces"]
    assert (face["decision"], face["subject_id"], face["reason"]) == ("match", "obama", None)
    (candidate,) = face["candidates"]
    assert candidate["subject_id"] == "obama"
    assert 0 < candidate["fmr"] < 0.001
    assert 0.3 < candidate["similarity"] < 1
    assert face["quality"]["size"] == pytest.approx(49, abs=3)
    assert len(face["landmarks"]) == 10
    timings = answer["timings"]
    times = [answer["captured_at"], timings["produced_at"], timings["received_at"], timings["embedded_at"]]
    # Kafka's clock has milliseconds only.
    assert [time[:23] for time in times] == sorted(time[:23] for time in times)
    assert timings["embedded_at"] <= answer["matched_at"]
    assert all(timings[part] > 0 for part in ("decode_ms", "detect_ms", "align_ms", "embed_ms"))
    assert "vector" not in json.dumps(answer)


def test_keys_that_anybody_may_read(clients: Clients, server: redis.Redis, host: str, portraits: Portraits) -> None:
    sent = clients.producer.frame(host, portraits.obama2, camera_id="door")
    answer = clients.answer(sent.event_id)
    live = f"facestream:live:{{{host}}}"
    entries = eventually(lambda: cast(list[tuple[str, dict[str, str]]], server.xrange(live))[1:], "a live entry")
    (_, fields), *_ = entries
    assert json.loads(fields.pop("json")) == answer
    assert fields == {
        "kind": "match",
        "event_id": sent.event_id,
        "camera_id": "door",
        "decision": "match",
        "subjects": '["obama"]',
        "faces": "1",
        "reason": "",
    }
    assert json.loads(cast(str, server.get(f"facestream:result:{sent.event_id}"))) == answer
    assert json.loads(cast(str, server.get(f"facestream:latest:{{{host}}}:door"))) == answer
    assert server.hgetall(f"facestream:subjects:{{{host}}}") == {"obama": "1"}
    kept_s = server.ttl(f"facestream:result:{sent.event_id}")
    assert 0 < kept_s <= clients.settings.result_ttl_s


def test_the_latest_of_a_camera(clients: Clients, host: str, portraits: Portraits) -> None:
    """The newest picture, not the one that came last; each camera by itself."""
    now = utc_now()
    frames = [
        clients.producer.frame(host, picture, camera_id=camera, captured_at=now - timedelta(seconds=ago))
        for camera, picture, ago in (
            ("door", portraits.biden, 20),
            ("door", portraits.obama2, 10),
            ("door", portraits.biden, 15),
            ("garden", pictures.landscape(), 5),
        )
    ]
    clients.answers([frame.event_id for frame in frames])
    # The frames of one user are answered in order: with the last, all are there.
    garden = clients.await_latest(host, "garden", frames[3].event_id)
    assert garden["refusal"]["reason"] == "no_face"
    door = clients.await_latest(host, "door", frames[1].event_id)
    assert named(door) == ["obama"]
    assert clients.results.latest(host, "attic") is None


def test_live(clients: Clients, user: str, portraits: Portraits) -> None:
    """Enrolments and matches in the order in which they happened, as they happen."""
    arrived: queue.SimpleQueue[LiveEntry] = queue.SimpleQueue()
    own = RedisResults(clients.settings.redis_url, clients.settings.redis_prefix)

    def follow() -> None:
        for entry in own.follow(user, after="0", timeout_s=TIMEOUT_S):
            arrived.put(entry)
            if entry.event.get("camera_id") == "last":
                return

    watcher = threading.Thread(target=follow, daemon=True)
    watcher.start()
    seen = []
    for subject, photo in (("obama", portraits.obama), ("nobody", pictures.landscape())):
        clients.producer.enrol(user, photo, consent="tests", subject_id=subject)
        seen.append(arrived.get(timeout=TIMEOUT_S))
    for camera, picture in (("door", portraits.obama2), ("last", portraits.biden)):
        clients.producer.frame(user, picture, camera_id=camera)
        seen.append(arrived.get(timeout=TIMEOUT_S))
    watcher.join(TIMEOUT_S)
    own.close()
    assert [(entry.kind, entry.event.get("outcome")) for entry in seen] == [
        ("enrolment", "enrolled"),
        ("enrolment", "refused"),
        ("match", None),
        ("match", None),
    ]
    assert [named(entry.event) for entry in seen[2:]] == [["obama"], [None]]
    assert [entry.event for entry in seen] == [
        entry.event for entry in clients.results.follow(user, after="0", timeout_s=0.2)
    ]


def test_published_to_whoever_listens(clients: Clients, server: redis.Redis, host: str, portraits: Portraits) -> None:
    listening = server.pubsub_numpat()
    heard: queue.SimpleQueue[LiveEntry] = queue.SimpleQueue()
    own = RedisResults(clients.settings.redis_url, clients.settings.redis_prefix)

    def listen() -> None:
        for entry in own.follow_all():
            if entry.event["user_id"] == host:
                heard.put(entry)
                return

    threading.Thread(target=listen, daemon=True).start()
    eventually(lambda: server.pubsub_numpat() > listening, "the listener has subscribed")
    sent = clients.producer.frame(host, portraits.obama2, camera_id="door")
    entry = heard.get(timeout=TIMEOUT_S)
    assert entry.kind == "match"
    assert entry.event == clients.answer(sent.event_id)
    own.close()
