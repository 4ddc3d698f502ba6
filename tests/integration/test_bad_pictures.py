"""Pictures that cannot be recognised: their owner reads why, in Redis and in BigQuery, and nothing stops for them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import pytest

from schemas import codec
from schemas.clock import utc_now
from schemas.ids import new_event_id
from schemas.ingest import Consent, Frame, Mode, Picture, Upload
from streams.client.errors import InvalidPicture
from streams.kafka.topics import Topic
from tests.integration import pictures
from tests.integration.clients import Clients, Json, named
from tests.integration.conftest import Portraits

UNREADABLE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "truncated": (pictures.truncated, "undecodable"),
    "a text called .jpg": (lambda _: b"Dear sir or madam,\n" * 40, "undecodable"),
    "30,000 x 30,000 pixels": (lambda _: pictures.huge_png(), "too_many_pixels"),
    "nobody in it": (lambda _: pictures.landscape(), "no_face"),
}


def frame(user: str, picture: Picture, captured_at: datetime | None = None) -> Frame:
    return Frame(new_event_id(), user, "door", 0, captured_at or utc_now(), picture)


def upload(user: str, picture: Picture, created_at: datetime | None = None, consent: Consent | None = None) -> Upload:
    now = utc_now()
    return Upload(new_event_id(), user, "someone", created_at or now, picture, consent or Consent("tests", now))


class Sandwich(Protocol):
    def __call__(self, *events: Upload | Frame) -> list[Json]: ...


@pytest.fixture
def sandwich(clients: Clients, host: str, portraits: Portraits) -> Sandwich:
    """Put events, past the client's own checks, between good frames of the same user; give what came of them."""

    def put(*events: Upload | Frame) -> list[Json]:
        before = clients.producer.frame(host, portraits.obama2, camera_id="door")
        before.result(30)
        for event in events:
            topic = Topic.UPLOADS if isinstance(event, Upload) else Topic.FRAMES
            clients.put(topic, codec.encode(event), event.user_id)
        after = clients.producer.frame(host, portraits.obama2, camera_id="door")
        answers = clients.answers([before.event_id, *(event.event_id for event in events), after.event_id])
        assert named(answers[before.event_id]) == named(answers[after.event_id]) == ["obama"]
        return [answers[event.event_id] for event in events]

    return put


def assert_refused(clients: Clients, reason: str, *answers: Json) -> None:
    """The events' owner reads the reason where he looks: Redis and BigQuery."""
    for table in ("enrolments", "matches"):
        here = {answer["event_id"]: answer for answer in answers if ("outcome" in answer) == (table == "enrolments")}
        rows = clients.rows(table, list(here)) if here else {}
        for event_id, answer in here.items():
            assert answer["refusal"] is not None
            assert answer["refusal"]["reason"] == rows[event_id]["refusal_reason"] == reason
            assert answer["refusal"]["detail"] == rows[event_id]["refusal_detail"] != ""
            if table == "enrolments":
                assert answer["outcome"] == rows[event_id]["outcome"] == "refused"
            else:
                assert answer["faces"] == rows[event_id]["faces"] == []


@pytest.mark.parametrize("what", UNREADABLE)
def test_a_picture_that_shows_nobody(
    what: str, clients: Clients, host: str, portraits: Portraits, sandwich: Sandwich
) -> None:
    make, reason = UNREADABLE[what]
    picture = Picture(make(portraits.obama2))
    assert_refused(clients, reason, *sandwich(frame(host, picture), upload(host, picture)))


def test_zero_bytes(clients: Clients, host: str, sandwich: Sandwich) -> None:
    with pytest.raises(InvalidPicture, match="zero bytes"):
        clients.producer.frame(host, b"", camera_id="door")
    events = [of(host, picture) for of in (frame, upload) for picture in (Picture(b""), Picture())]
    assert_refused(clients, "empty_picture", *sandwich(*events))


def test_more_bytes_than_allowed(clients: Clients, host: str, portraits: Portraits, sandwich: Sandwich) -> None:
    limit = clients.settings.max_picture_bytes
    fat = portraits.obama2 + bytes(limit + 1 - len(portraits.obama2))
    with pytest.raises(InvalidPicture, match="FACESTREAM_MAX_PICTURE_BYTES"):
        clients.producer.frame(host, fat, camera_id="door")
    # A byte less is a picture like any other.
    *refused, read = sandwich(frame(host, Picture(fat)), upload(host, Picture(fat)), frame(host, Picture(fat[:-1])))
    assert_refused(clients, "picture_too_large", *refused)
    assert named(read) == ["obama"]


def test_two_people_in_an_enrolment_photo(clients: Clients, host: str, photos: Path, sandwich: Sandwich) -> None:
    both = Picture(pictures.collage([pictures.head(photos / name, 240) for name in ("obama.jpg", "biden.jpg")], 2))
    refused, answered = sandwich(upload(host, both), frame(host, both))
    assert_refused(clients, "several_faces", refused)
    # In a frame both are answered.
    assert sorted(map(str, named(answered))) == ["None", "obama"]


def test_a_face_too_poor_to_enrol(clients: Clients, host: str, photos: Path, sandwich: Sandwich) -> None:
    tiny = pictures.encoded(pictures.head(photos / "obama.jpg", 60))
    (answer,) = sandwich(upload(host, Picture(tiny)))
    assert_refused(clients, "too_small", answer)
    assert answer["quality"]["size"] < 16


def test_forty_faces(clients: Clients, host: str, photos: Path, portraits: Portraits, sandwich: Sandwich) -> None:
    sent = clients.producer.enrol(host, portraits.biden, consent="tests", subject_id="biden")
    assert clients.answer(sent.event_id)["outcome"] == "enrolled"
    names = ["obama", "biden", "obama2", "obama3"] * 10
    crowd = pictures.collage([pictures.head(photos / f"{name}.jpg", 160) for name in names], 8)
    (answer,) = sandwich(frame(host, Picture(crowd)))
    answered = set()
    for face in answer["faces"]:
        across, down = (
            face["box"][edge] + face["box"][length] / 2 for edge, length in (("x", "width"), ("y", "height"))
        )
        place = int(down) // 160 * 8 + int(across) // 160
        answered.add(place)
        who = names[place].rstrip("23")
        assert face["decision"] in ("match", "unknown")
        assert face["candidates"][0]["subject_id"] == who
        assert face["subject_id"] in (None, who)
    assert answered == set(range(40))
    assert len(answer["faces"]) == len(clients.row("matches", answer["event_id"])["faces"]) == 40
    assert set(named(answer)) >= {"obama", "biden"}


@pytest.mark.parametrize("year", [1970, 2100])
def test_a_clock_that_is_wrong(
    year: int, clients: Clients, host: str, portraits: Portraits, sandwich: Sandwich
) -> None:
    at = datetime(year, 1, 1, 0, 0, 1, tzinfo=UTC)
    picture = Picture(portraits.obama2)
    refused = sandwich(frame(host, picture, at), upload(host, picture, at))
    assert_refused(clients, "implausible_time", *refused)
    assert clients.row("matches", refused[0]["event_id"])["captured_at"] == at
    # It does not hide what the camera sees next.
    seen = clients.producer.frame(host, portraits.obama2, camera_id="door")
    clients.await_latest(host, "door", seen.event_id)


def test_bytes_that_were_changed_on_the_way(
    clients: Clients, host: str, portraits: Portraits, sandwich: Sandwich
) -> None:
    changed = Picture(portraits.obama2, sha256=sha256(portraits.obama).hexdigest())
    whole = Picture(portraits.obama2, sha256=sha256(portraits.obama2).hexdigest().upper())
    *refused, answer = sandwich(frame(host, changed), upload(host, changed), frame(host, whole))
    assert_refused(clients, "digest_mismatch", *refused)
    assert named(answer) == ["obama"]


def test_a_picture_by_address(
    clients: Clients, host: str, portraits: Portraits, sandwich: Sandwich, photo_store: Path, tmp_path: Path
) -> None:
    for folder in (photo_store, tmp_path):
        (folder / "obama2.jpg").write_bytes(portraits.obama2)
    (photo_store / "way-out.jpg").symlink_to(tmp_path / "obama2.jpg")
    there, missing, outside = (
        Picture(uri=path.as_uri())
        for path in (photo_store / "obama2.jpg", photo_store / "nobody.jpg", tmp_path / "obama2.jpg")
    )
    elsewhere = [
        (photo_store / "way-out.jpg").as_uri(),
        f"{photo_store.as_uri()}/../{tmp_path.name}/obama2.jpg",
        "https://127.0.0.1/obama2.jpg",
        "gs://bucket/obama2.jpg",
        "no address at all",
    ]
    read, *answers = sandwich(
        *(frame(host, there), frame(host, missing), upload(host, missing), frame(host, outside), upload(host, outside)),
        *(frame(host, Picture(uri=address)) for address in elsewhere),
    )
    assert named(read) == ["obama"]
    assert_refused(clients, "uri_unreadable", *answers[:2])
    assert_refused(clients, "uri_not_allowed", *answers[2:])


@pytest.mark.parametrize("consent", ["expired", "not yet given", "to nothing"])
def test_without_consent(consent: str, clients: Clients, host: str, portraits: Portraits, sandwich: Sandwich) -> None:
    now, day = utc_now(), timedelta(days=1)
    agreed = {
        "expired": Consent("tests", now - 9 * day, now - day),
        "not yet given": Consent("tests", now + day),
        "to nothing": Consent(" ", now),
    }[consent]
    picture = Picture(portraits.biden)
    refused, asked = sandwich(upload(host, picture, consent=agreed), frame(host, picture))
    assert_refused(clients, "no_consent", refused)
    assert refused["templates"] == 0
    # Nobody is remembered.
    assert named(asked) == [None]
    assert clients.results.subjects(host) == {"obama": 1}


def test_nobody_is_enrolled(clients: Clients, user: str, portraits: Portraits) -> None:
    sent = clients.producer.frame(user, portraits.obama, camera_id="door")
    (face,) = clients.answer(sent.event_id)["faces"]
    assert (face["decision"], face["reason"], face["candidates"]) == ("unknown", "empty_gallery", [])
    (in_row,) = clients.row("matches", sent.event_id)["faces"]
    assert (in_row["decision"], in_row["reason"]) == ("unknown", "empty_gallery")


def test_the_person_claimed_is_not_enrolled(clients: Clients, host: str, portraits: Portraits) -> None:
    ask = partial(clients.producer.frame, host, portraits.obama2, camera_id="door", mode=Mode.VERIFY)
    stranger, enrolled, himself = ask(subject_id="nobody"), ask(subject_id="obama"), ask()
    answers = clients.answers([stranger.event_id, enrolled.event_id, himself.event_id])
    rows = clients.rows("matches", list(answers))
    for sent, decision, reason in (
        (stranger, "no_match", "subject_not_enrolled"),
        (enrolled, "match", None),
        (himself, "no_match", "subject_not_enrolled"),
    ):
        for faces in (answers[sent.event_id]["faces"], rows[sent.event_id]["faces"]):
            assert [(face["decision"], face["reason"]) for face in faces] == [(decision, reason)]
