"""Mistakes are told before anything is sent: no Kafka is needed for these."""

import unicodedata
from base64 import b64encode
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streams.producer
from schemas.clock import utc_now
from schemas.ids import new_event_id
from schemas.ingest import Frame, Mode, Picture
from schemas.reasons import Reason
from streams.client.errors import InvalidPicture
from streams.client.producer import Producer
from streams.client.validation import checked_event, checked_picture
from streams.settings import Settings

NOWHERE = Settings(kafka="127.0.0.1:1", max_picture_bytes=1_000, max_message_bytes=2_000)


def frame(**changes: Any) -> None:
    arguments: dict[str, Any] = {"user_id": "anna", "picture": b"GIF89a", "camera_id": "door"} | changes
    with Producer(NOWHERE) as producer:
        producer.frame(**arguments)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"user_id": ""}, "user_id"),
        ({"user_id": " "}, "user_id"),
        ({"user_id": None}, "user_id"),
        ({"user_id": "x" * 257}, "user_id"),
        ({"user_id": "\ud800"}, "surrogates"),
        ({"user_id": "\ufeffanna"}, r"user_id .*invisible character .*U\+FEFF"),
        ({"camera_id": ""}, "camera_id"),
        ({"camera_id": "door\n"}, r"camera_id .*invisible character .*U\+000A"),
        ({"mode": Mode.VERIFY, "subject_id": "an\u200bna"}, r"subject_id .*invisible character .*U\+200B"),
        ({"mode": Mode.VERIFY, "subject_id": ""}, "subject_id"),
        ({"subject_id": "otto"}, "VERIFY"),
        ({"event_id": "1"}, "event_id must be a UUID"),
        ({"captured_at": datetime(2026, 1, 1)}, "timezone"),
        ({"picture": "photo.jpg"}, "as a Path"),
        ({"sha256": "12"}, "sha256"),
        ({"sequence": "1"}, "written"),
    ],
)
def test_a_wrong_argument_is_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        frame(**changes)


def test_ids_are_sent_in_their_canonical_form() -> None:
    decomposed, composed = (unicodedata.normalize(form, "Zo\u00eb") for form in ("NFD", "NFC"))
    own = new_event_id()
    frame = Frame(own.upper(), decomposed, decomposed, 0, utc_now(), Picture(b"x"), Mode.VERIFY, decomposed)
    sent = checked_event(frame, NOWHERE)
    assert isinstance(sent, Frame)
    assert (sent.event_id, sent.user_id, sent.camera_id, sent.subject_id) == (own, composed, composed, composed)


def test_a_picture_that_no_worker_would_take(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "large.jpg").write_bytes(b"x" * 1_001)
    for picture, reason in (
        (b"", Reason.EMPTY_PICTURE),
        (tmp_path / "empty.jpg", Reason.EMPTY_PICTURE),
        (b"x" * 1_001, Reason.PICTURE_TOO_LARGE),
        (tmp_path / "large.jpg", Reason.PICTURE_TOO_LARGE),
    ):
        with pytest.raises(InvalidPicture) as raised:
            frame(picture=picture)
        assert raised.value.reason is reason


@pytest.mark.parametrize(
    "picture",
    [
        b64encode(b"\xff\xd8\xff\xe0" + bytes(100)),
        b"\xef\xbb\xbf\xff\xd8\xff\xe0" + bytes(100),
        b"\r\n\x89PNG\r\n\x1a\n" + bytes(100),
        b"data:image/png;base64,iVBORw0KGgo=",
        "data:image/png;base64,iVBORw0KGgo=",
        b64encode(b"\xff\xd8\xff\xe0" + bytes(100)).decode(),
    ],
)
def test_a_picture_in_a_wrapping(picture: bytes | str) -> None:
    with pytest.raises(InvalidPicture, match="send the bytes") as raised:
        frame(picture=picture)
    assert raised.value.reason is Reason.UNDECODABLE


@pytest.mark.parametrize("picture", [b"hello", b"%PDF-1.7", b"<html>", bytes(100)])
def test_bytes_of_no_format_that_a_worker_reads(picture: bytes, tmp_path: Path) -> None:
    (tmp_path / "file.jpg").write_bytes(picture)
    for given in (picture, bytearray(picture), memoryview(picture), tmp_path / "file.jpg"):
        with pytest.raises(InvalidPicture, match=r"none of JPEG, PNG, .*, JPEG 2000 that can be read") as raised:
            frame(picture=given)
        assert raised.value.reason is Reason.UNDECODABLE
        with Producer(NOWHERE) as producer, pytest.raises(InvalidPicture):
            producer.enrol("anna", given, consent="tests")


@pytest.mark.parametrize("make", [partial(Producer, check_format=False), streams.producer.Producer])
def test_any_bytes_are_taken_where_the_workers_are_to_refuse_them(
    make: Callable[[Settings], Producer], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[bytes | None] = []
    monkeypatch.setattr(Producer, "send", lambda self, event, timeout_s: sent.append(event.picture.data))
    for picture in (b"hello", b"%PDF-1.7", bytes(100)):
        with make(NOWHERE) as producer:
            producer.frame("anna", picture, camera_id="door")
            producer.enrol("anna", picture, consent="tests")
        assert sent == [picture, picture]
        sent.clear()
    for wrong in (None, [1, 2], bytes, np.zeros((2, 2), np.uint8)):
        with make(NOWHERE) as producer, pytest.raises(TypeError):
            producer.frame("anna", wrong, camera_id="door")  # type: ignore[arg-type]


def test_the_first_bytes_of_every_format_are_taken() -> None:
    for picture in (b"\xff\xd8\xff", b"GIF87a", b"II+\0", b"MM\0+", b"P5 ", b"\0\0\0\x18ftypheic"):
        taken = checked_picture(picture + bytes(20), None, NOWHERE, with_digest=False, check_format=True)
        assert taken.data == picture + bytes(20)


def test_an_event_that_names_no_picture() -> None:
    event = Frame(new_event_id(), "anna", "door", 0, utc_now(), Picture())
    with Producer(NOWHERE) as producer, pytest.raises(InvalidPicture):
        producer.send(event)


def test_a_message_that_would_be_too_large() -> None:
    with pytest.raises(ValueError, match="FACESTREAM_MAX_MESSAGE_BYTES"):
        frame(picture=f"https://example.com/{'x' * 2_000}")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        frame(picture=tmp_path / "nobody.jpg")
