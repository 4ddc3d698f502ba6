"""Photos and frames by HTTP, with real Kafka, Redis and workers; what comes back, and what is refused."""

from __future__ import annotations

import base64
import json
import socket
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from schemas import codec
from schemas.access import Scope
from schemas.ingest import Frame, Upload
from sinks.redis.keys import Keys
from streams.gateway import limits
from streams.gateway.context import Context
from streams.kafka.log_reader import read_topic
from streams.kafka.topics import Topic
from streams.settings import Settings
from tests.streams.gateway.conftest import MakeKey
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("workers")
Json = dict[str, Any]
Headers = dict[str, str]


@pytest.fixture(scope="module")
def anna(pictures: Path) -> bytes:
    return (pictures / "anna/1.jpg").read_bytes()


@pytest.fixture(scope="module")
def otto(pictures: Path) -> bytes:
    return (pictures / "otto/1.png").read_bytes()


def photos(user: str, subject: str = "anna") -> str:
    return f"/api/v1/users/{user}/subjects/{subject}/photos"


def enrol(http: httpx.Client, key: Headers, user: str, picture: bytes, **query: str) -> httpx.Response:
    query = {"purpose": "tests", "wait": "30s"} | query
    return http.post(photos(user), params=query, content=picture, headers=key | {"Content-Type": "image/jpeg"})


def on_topic(settings: Settings, topic: Topic, kind: type[Any], event_id: str) -> list[Any]:
    events = [codec.decode(one.value, kind) for one in read_topic(settings, topic)]
    return [one for one in events if one.event_id == event_id]


def test_the_ways_to_send_a_photo(
    http: httpx.Client, everything: Headers, settings: Settings, anna: bytes, user: str
) -> None:
    fields = {"purpose": "door", "training": "true", "expires_at": "2999-01-01T00:00:00Z"}
    raw = http.post(photos(user), params=fields, content=anna, headers=everything | {"Content-Type": "image/jpeg"})
    form = http.post(photos(user), data=fields, files={"picture": anna}, headers=everything)
    encoded = {"picture": base64.b64encode(anna).decode()} | fields | {"training": True}
    for answer in (raw, form, http.post(photos(user), json=encoded, headers=everything)):
        assert answer.status_code == 202, answer.text
        event_id = answer.json()["event_id"]
        assert answer.headers["Location"] == f"/api/v1/events/{event_id}"
        # 202 means that Kafka has it.
        (upload,) = on_topic(settings, Topic.UPLOADS, Upload, event_id)
        assert (upload.user_id, upload.subject_id, upload.picture.data) == (user, "anna", anna)
        assert (upload.consent.purpose, upload.consent.training) == ("door", True)
        answered = http.get(answer.headers["Location"], params={"wait": "30s"}, headers=everything)
        assert answered.json()["outcome"] == "enrolled", answered.text
    by_address = http.post(photos(user), json={"uri": "s3://photos/1.jpg", "purpose": "door"}, headers=everything)
    assert by_address.status_code == 202
    assert (
        on_topic(settings, Topic.UPLOADS, Upload, by_address.json()["event_id"])[0].picture.uri == "s3://photos/1.jpg"
    )


def test_who_is_it_and_is_it_anna(http: httpx.Client, everything: Headers, anna: bytes, otto: bytes, user: str) -> None:
    jpeg = everything | {"Content-Type": "image/jpeg"}
    assert enrol(http, everything, user, anna).json()["outcome"] == "enrolled"
    assert http.get(f"/api/v1/users/{user}/subjects", headers=everything).json() == {
        "user_id": user,
        "subjects": [{"subject_id": "anna", "templates": 1}],
        "next": None,
    }
    found = http.post(f"/api/v1/users/{user}/identify", content=anna, headers=jpeg, params={"wait": "30s"})
    assert (found.status_code, found.json()["faces"][0]["subject_id"]) == (200, "anna")
    assert found.headers["Preference-Applied"] == "wait=30"
    stranger = http.post(f"/api/v1/users/{user}/identify", content=otto, headers=jpeg | {"Prefer": "wait=30"})
    assert stranger.json()["faces"][0]["decision"] == "unknown"
    for picture, decision in ((anna, "match"), (otto, "no_match")):
        verified = http.post(
            f"/api/v1/users/{user}/verify", content=picture, headers=jpeg, params={"subject_id": "anna", "wait": "30s"}
        )
        assert (verified.json()["mode"], verified.json()["faces"][0]["decision"]) == ("verify", decision)
    frame = http.post(
        f"/api/v1/users/{user}/frames?wait=30s", data={"camera_id": "door"}, files={"picture": anna}, headers=everything
    )
    assert (frame.status_code, frame.json()["camera_id"]) == (200, "door")
    refused = http.post(
        f"/api/v1/users/{user}/verify", content=anna, headers=jpeg, params={"subject_id": "nobody", "wait": "30s"}
    )
    assert refused.json()["faces"][0]["reason"] == "subject_not_enrolled"


@pytest.mark.parametrize("by", ["event_id", "Idempotency-Key"])
def test_the_same_twice_has_one_effect_and_the_same_answer(
    http: httpx.Client, everything: Headers, anna: bytes, otto: bytes, user: str, by: str
) -> None:
    own = str(uuid.uuid4())
    query, header = ({"event_id": own.upper()}, {}) if by == "event_id" else ({}, {by: "order 77"})
    first = enrol(http, everything | header, user, anna, **query)
    again = enrol(http, everything | header, user, otto, **query)
    assert first.status_code == again.status_code == 200
    assert first.json() == again.json(), "even if it is another picture"
    assert first.json()["event_id"] == own or by != "event_id"
    listed = http.get(f"/api/v1/users/{user}/subjects", headers=everything).json()["subjects"]
    assert listed == [{"subject_id": "anna", "templates": 1}]
    other_user = enrol(http, everything | header, f"{user}-other", anna, wait="0", **query)
    if by == "event_id":
        assert (other_user.status_code, other_user.json()["reason"]) == (409, "event_id_taken")
    else:
        assert other_user.json()["event_id"] != first.json()["event_id"]


def test_the_answer_of_another_user_is_not_told(
    http: httpx.Client, everything: Headers, make_key: MakeKey, anna: bytes, user: str
) -> None:
    event_id = enrol(http, everything, user, anna).json()["event_id"]
    bob = make_key(user=f"{user}-bob")
    assert http.get(f"/api/v1/events/{event_id}", headers=everything).status_code == 200
    for wait in ("", "?wait=100ms"):
        hidden = http.get(f"/api/v1/events/{event_id}{wait}", headers=bob)
        never = http.get(f"/api/v1/events/{uuid.uuid4()}{wait}", headers=bob)
        assert hidden.status_code == never.status_code == 404
        assert hidden.json() == never.json()
    # Nor by sending something under its id.
    stolen = enrol(http, bob, f"{user}-bob", anna, event_id=event_id, wait="300ms")
    assert stolen.status_code == 202
    assert stolen.json()["user_id"] == f"{user}-bob" and "outcome" not in stolen.json()


def test_a_page_of_subjects_after_another(
    http: httpx.Client, everything: Headers, settings: Settings, user: str
) -> None:
    with Redis.from_url(settings.redis_url) as redis:
        redis.hset(Keys(settings.redis_prefix).subjects(user), mapping={f"s{number}": 1 for number in range(5)})
    pages, after = [], ""
    while True:
        query = {"limit": "2", "after": after}
        page = http.get(f"/api/v1/users/{user}/subjects", params=query, headers=everything).json()
        pages.append([one["subject_id"] for one in page["subjects"]])
        if page["next"] is None:
            break
        after = page["next"]
    assert pages == [["s0", "s1"], ["s2", "s3"], ["s4"]]


class Live:
    """A reader of a live stream."""

    def __init__(self, http: httpx.Client, key: Headers, user: str, after: str | None = None) -> None:
        headers = key if after is None else key | {"Last-Event-ID": after}
        self._stream = http.stream("GET", f"/api/v1/users/{user}/live", headers=headers)
        self._lines = self._stream.__enter__().iter_lines()

    def next(self) -> tuple[str, str, Json]:
        """Id, kind and data of the next event."""
        found = dict(line.split(": ", 1) for line in iter(lambda: next(self._lines), ""))
        return (found["id"], found["event"], json.loads(found["data"])) if "id" in found else self.next()

    def close(self) -> None:
        self._stream.__exit__(None, None, None)


def test_a_reader_that_comes_back_misses_nothing(
    http: httpx.Client, everything: Headers, settings: Settings, anna: bytes, user: str
) -> None:
    reader = Live(http, everything, user)
    begun, kind, _ = reader.next()
    assert (begun, kind) == ("0", "begin")
    first = enrol(http, everything, user, anna).json()
    at, kind, event = reader.next()
    assert (kind, event["event_id"]) == ("enrolment", first["event_id"])
    reader.close()
    jpeg = everything | {"Content-Type": "image/jpeg"}
    sent = [
        http.post(f"/api/v1/users/{user}/identify?wait=30s", content=anna, headers=jpeg).json()["event_id"]
        for _ in range(3)
    ]
    again = Live(http, everything, user, at)
    assert again.next()[1] == "begin"
    assert [again.next()[2]["event_id"] for _ in range(3)] == sent
    again.close()
    # What is no longer kept is told.
    with Redis.from_url(settings.redis_url) as redis:
        redis.xtrim(Keys(settings.redis_prefix).live(user), maxlen=1, approximate=False)
    late = Live(http, everything, user, at)
    assert late.next()[1] == "gap" and late.next()[2]["event_id"] == sent[-1]
    late.close()
    assert http.get(f"/api/v1/users/{user}/live", headers=everything | {"Last-Event-ID": "x"}).status_code == 422


def test_idle_readers_hold_nobody_up(http: httpx.Client, everything: Headers, anna: bytes, user: str) -> None:
    with httpx.Client(base_url=http.base_url, limits=httpx.Limits(max_connections=200), timeout=60) as many:
        readers = [Live(many, everything, f"{user}-{number}") for number in range(100)]
        assert {reader.next()[1] for reader in readers} == {"begin"}
        assert enrol(http, everything, user, anna).json()["outcome"] == "enrolled"
        for reader in readers:
            reader.close()


def test_a_photo_is_erased_and_the_others_of_the_subject_stay(
    http: httpx.Client, everything: Headers, anna: bytes, otto: bytes, user: str
) -> None:
    first = enrol(http, everything, user, anna).json()["event_id"]
    url = f"/api/v1/users/{user}/subjects/anna/photos/{first}"
    told = http.delete(url, headers=everything)
    assert told.status_code == 200, told.text
    assert told.json()["removed"]["match"] == {"templates": 1} and told.json()["photo"] == [first]
    assert http.get(f"/api/v1/events/{first}", headers=everything).status_code == 404
    assert http.get(f"/api/v1/users/{user}/subjects", headers=everything).json()["subjects"] == []
    assert http.delete(url, headers=everything).json()["removed"]["match"] == {"templates": 0}
    assert http.delete(f"{url}x", headers=everything).status_code == 422


def test_a_subject_and_a_user_are_erased_with_a_receipt(
    http: httpx.Client, everything: Headers, make_key: MakeKey, anna: bytes, otto: bytes, user: str
) -> None:
    first = enrol(http, everything, user, anna).json()["event_id"]
    query = {"purpose": "tests", "wait": "30s"}
    jpeg = everything | {"Content-Type": "image/jpeg"}
    assert http.post(photos(user, "otto"), params=query, content=otto, headers=jpeg).json()["outcome"] == "enrolled"
    eraser = make_key(Scope.ERASE, user=user)
    receipt = http.delete(f"/api/v1/users/{user}/subjects/anna", headers=eraser)
    assert receipt.status_code == 200, receipt.text
    told = receipt.json()
    assert told["subject_id"] == "anna" and told["waiting_for"] == [] and told["completed_at"].endswith("Z")
    assert told["removed"]["match"]["templates"] == 1
    assert http.get(f"/api/v1/events/{first}", headers=everything).status_code == 404
    url = f"/api/v1/users/{user}/subjects"
    assert [one["subject_id"] for one in http.get(url, headers=everything).json()["subjects"]] == ["otto"]
    assert http.delete(f"/api/v1/users/{user}", headers=eraser).json()["subject_id"] is None
    assert http.get(url, headers=everything).json()["subjects"] == []
    soon = http.delete(f"/api/v1/users/{user}?wait=0", headers=eraser)
    assert soon.status_code == 202 and "match" in soon.json()["waiting_for"]


SOME_ID = "0193f3a0-0000-7000-8000-000000000001"
CASES: list[tuple[str, bytes, Headers, int, str]] = [
    ("?purpose=x", b"", {}, 422, "empty_picture"),
    ("?purpose=x", b"no picture at all", {}, 422, "undecodable"),
    ("?purpose=%20", b"\xff\xd8\xff\xe0", {}, 422, "no_consent"),
    ("", b"\xff\xd8\xff\xe0", {}, 422, "invalid_request"),
    ("?purpose=x&colour=red", b"\xff\xd8\xff\xe0", {}, 422, "invalid_request"),
    ("?purpose=x&purpose=y", b"\xff\xd8\xff\xe0", {}, 422, "invalid_request"),
    ("?purpose=x&wait=soon", b"\xff\xd8\xff\xe0", {}, 422, "invalid_request"),
    ("?purpose=x&expires_at=2030-01-01", b"\xff\xd8\xff\xe0", {}, 422, "invalid_request"),
    ("?purpose=x&event_id=7", b"\xff\xd8\xff\xe0", {}, 422, "invalid_id"),
    ("?purpose=x&sha256=7", b"\xff\xd8\xff\xe0", {}, 422, "invalid_request"),
    ("?purpose=x&uri=s3://a/b", b"\xff\xd8\xff\xe0", {}, 422, "invalid_request"),
    ("?purpose=x", b"\xff\xd8\xff\xe0", {"Content-Type": "text/html"}, 415, "unsupported_type"),
    ("?purpose=x", b"{", {"Content-Type": "application/json"}, 422, "invalid_request"),
    ("?purpose=x", b"[]", {"Content-Type": "application/json"}, 422, "invalid_request"),
    ("?purpose=x", b'{"picture": 7}', {"Content-Type": "application/json"}, 422, "invalid_request"),
    ("?purpose=x", b'{"picture": "###"}', {"Content-Type": "application/json"}, 422, "invalid_request"),
    ("?purpose=x", b"[" * 50_000, {"Content-Type": "application/json"}, 422, "invalid_request"),
    ("?purpose=x", b"--x", {"Content-Type": "multipart/form-data"}, 422, "invalid_request"),
    ("?purpose=x", b"--x", {"Content-Type": "multipart/form-data; boundary=x"}, 422, "invalid_request"),
    ("?purpose=x", b"\xff" * 100_001, {}, 413, "picture_too_large"),
    (f"?purpose=x&event_id={SOME_ID}", b"\xff\xd8\xff\xe0", {"Idempotency-Key": "k"}, 422, "invalid_request"),
]


@pytest.mark.parametrize(("query", "body", "headers", "status", "reason"), CASES)
def test_what_cannot_be_used_is_refused_with_a_reason(
    http: httpx.Client, everything: Headers, query: str, body: bytes, headers: Headers, status: int, reason: str
) -> None:
    sent = everything | {"Content-Type": "image/jpeg"} | headers
    answer = http.post(f"/api/v1/users/anna/subjects/anna/photos{query}", content=body, headers=sent)
    assert (answer.status_code, answer.json()["reason"]) == (status, reason), answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json().keys() >= {"type", "title", "status", "detail"}
    assert answer.json()["status"] == status


def test_invisible_characters_and_unknown_addresses(http: httpx.Client, everything: Headers) -> None:
    jpeg = everything | {"Content-Type": "image/jpeg"}
    hidden = http.post(photos("anna", "ot%E2%80%8Bto"), params={"purpose": "x"}, content=b"\xff\xd8\xff", headers=jpeg)
    assert hidden.json()["reason"] == "invalid_id"
    assert http.get("/api/v1/nothing", headers=everything).json()["reason"] == "not_found"
    assert http.delete("/api/v1/users/anna/frames", headers=everything).json()["reason"] == "method_not_allowed"
    assert http.get("/docs").status_code == 404


def answer_to(http: httpx.Client, head: str, body: bytes = b"", key: Headers | None = None) -> tuple[bytes, bytes]:
    """The head and the body of the answer to bytes that are sent as they are, until the gateway ends the connection."""
    auth = "".join(f"{name}: {value}\r\n" for name, value in (key or {}).items())
    with socket.create_connection((http.base_url.host, http.base_url.port or 0), timeout=30) as connection:
        connection.sendall(f"{head}\r\nHost: gateway\r\n{auth}".encode() + b"\r\n".join([b"", b""]) + body)
        received = b""
        with suppress(ConnectionResetError):  # for what was sent and not read
            while part := connection.recv(65_536):
                received += part
    start, _, rest = received.partition(b"\r\n\r\n")
    return start, rest


def test_a_body_that_is_announced_as_too_large_is_not_read(http: httpx.Client, everything: Headers) -> None:
    post = f"POST {photos('anna')}?purpose=x HTTP/1.1\r\nContent-Type: image/jpeg"
    head, body = answer_to(http, f"{post}\r\nContent-Length: 5000000000", b"some", everything)
    assert b" 413 " in head.splitlines()[0] and json.loads(body)["reason"] == "picture_too_large"
    chunk = b"%x\r\n%s\r\n" % (70_000, b"\xff" * 70_000)
    head, body = answer_to(http, f"{post}\r\nTransfer-Encoding: chunked", chunk + chunk, everything)
    assert b" 413 " in head.splitlines()[0] and json.loads(body)["reason"] == "picture_too_large"


def test_half_a_body_ends_by_its_time_and_holds_nobody_up(
    http: httpx.Client, everything: Headers, monkeypatch: pytest.MonkeyPatch, context: Context
) -> None:
    monkeypatch.setattr(limits, "IDLE_S", 0.3)
    post = f"POST {photos('anna')}?purpose=x HTTP/1.1\r\nContent-Type: image/jpeg\r\nContent-Length: 1000"
    head, body = answer_to(http, post, b"\xff\xd8\xff half", everything)
    assert b" 408 " in head.splitlines()[0] and json.loads(body)["reason"] == "too_slow"
    assert context.bodies.left == limits.BODIES_BYTES


def test_a_key_has_so_many_requests_at_once_and_no_more(
    http: httpx.Client, make_key: MakeKey, everything: Headers, context: Context
) -> None:
    camera = make_key(Scope.FRAME)
    url, jpeg = "/api/v1/users/anna/frames?camera_id=door", {"Content-Type": "image/jpeg"}
    auth = f"Authorization: {camera['Authorization']}"
    head = f"POST {url} HTTP/1.1\r\nHost: gateway\r\n{auth}\r\nContent-Type: image/jpeg\r\nContent-Length: 100\r\n\r\n"
    slow = []
    try:
        for _ in range(8):
            slow.append(socket.create_connection((http.base_url.host, http.base_url.port or 0), timeout=30))
            slow[-1].sendall(head.encode())
        key_id = camera["Authorization"].split("_")[1]
        wait_until(lambda: context.requests.under_way(key_id) == 8)
        refused = http.post(url, content=b"\xff\xd8\xff\xe0", headers=camera | jpeg)
        assert (refused.status_code, refused.json()["reason"]) == (429, "too_many_requests")
        assert refused.headers["Retry-After"] == "1"
        assert http.get("/api/", headers=camera).status_code == 200
        assert http.post(url, content=b"\xff\xd8\xff\xe0", headers=everything | jpeg).status_code == 202
    finally:
        for connection in slow:
            connection.close()


def test_metrics_tell_routes_and_no_names(http: httpx.Client, everything: Headers, user: str) -> None:
    http.get(f"/api/v1/users/{user}/subjects", headers=everything)
    told = http.get("/metrics").text
    assert 'facestream_http_requests_total{method="GET",route="/api/v1/users/{user_id}/subjects",status="200"}' in told
    assert user not in told


def test_ready(http: httpx.Client) -> None:
    assert http.get("/healthz").status_code == 200
    assert http.get("/readyz").json() == {"ready": True, "draining": False, "kafka_answers": True}


def test_a_frame_keeps_what_it_is_told(
    http: httpx.Client, everything: Headers, settings: Settings, anna: bytes, user: str
) -> None:
    query = {"camera_id": "door", "sequence": "7", "captured_at": "2026-11-24T08:03:56.5+01:00", "mode": "verify"}
    jpeg = everything | {"Content-Type": "image/jpeg"}
    url = f"/api/v1/users/{user}/frames"
    event_id = http.post(url, params=query | {"subject_id": "anna"}, content=anna, headers=jpeg).json()["event_id"]
    (frame,) = on_topic(settings, Topic.FRAMES, Frame, event_id)
    assert (frame.sequence, frame.mode, frame.subject_id) == (7, "verify", "anna")
    assert frame.captured_at.isoformat() == "2026-11-24T07:03:56.500000+00:00"
    wrong = http.post(url, params={"camera_id": "door", "subject_id": "anna"}, content=anna, headers=jpeg)
    assert wrong.json()["reason"] == "invalid_request"
