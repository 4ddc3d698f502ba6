import dataclasses
from datetime import datetime
from typing import Any

import fastavro.schema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import codec, registry
from schemas.clock import utc_now
from schemas.codec import decode, encode
from schemas.embeddings import Embedding, FrameOrigin, UploadOrigin
from schemas.errors import CodecError, MalformedEvent, NotAnEvent, UnknownSchema
from schemas.ids import new_event_id
from schemas.ingest import Consent, Frame, Picture, Upload
from schemas.results import Enrolment, Match
from tests.schemas.strategies import events

KINDS = sorted(registry.EVENT_TYPES.values(), key=lambda kind: kind.__name__)
kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
ANY: st.SearchStrategy[Any] = st.sampled_from(KINDS).flatmap(events)


def upload(**changes: Any) -> Upload:
    now = utc_now()
    event = Upload(new_event_id(), "anna", "anna", now, Picture(data=b"photo"), Consent("door", now))
    return dataclasses.replace(event, **changes)


def crc_64_avro(data: bytes) -> bytes:
    """The fingerprint as the Avro specification defines it, little-endian."""
    empty = 0xC15D213AA4D7A795
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (empty if value & 1 else 0)
        table.append(value)
    result = empty
    for byte in data:
        result = (result >> 8) ^ table[(result ^ byte) & 0xFF]
    return result.to_bytes(8, "little")


@kinds
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_an_event_comes_back_as_it_was(kind: type, data: st.DataObject) -> None:
    event = data.draw(events(kind))
    assert decode(encode(event), kind) == event


@kinds
def test_the_header_is_that_of_the_specification(kind: type) -> None:
    schema = registry.newest(kind)
    canonical = fastavro.schema.to_parsing_canonical_form(schema.parsed)
    assert schema.header == b"\xc3\x01" + crc_64_avro(canonical.encode())


def test_the_fingerprint_is_that_of_the_java_library() -> None:
    assert crc_64_avro(b'"null"') == (7195948357588979594).to_bytes(8, "little")


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(event=ANY, data=st.data())
def test_a_cut_event_is_malformed(event: Any, data: st.DataObject) -> None:
    whole = encode(event)
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(NotAnEvent if cut < 10 else MalformedEvent):
        decode(whole[:cut], type(event))


@given(event=ANY, rest=st.binary(min_size=1, max_size=5))
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
def test_bytes_after_the_end_are_malformed(event: Any, rest: bytes) -> None:
    with pytest.raises(MalformedEvent):
        decode(encode(event) + rest, type(event))


@kinds
@settings(max_examples=150)
@given(body=st.binary(max_size=200))
def test_rubbish_is_refused_and_nothing_else_happens(kind: type, body: bytes) -> None:
    try:
        event: Any = decode(registry.newest(kind).header + body, kind)
    except CodecError as error:
        assert str(error)
    else:
        assert isinstance(event, kind)


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(event=ANY, data=st.data())
def test_a_changed_byte_is_refused_or_read(event: Any, data: st.DataObject) -> None:
    whole = bytearray(encode(event))
    at = data.draw(st.integers(10, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    try:
        decode(bytes(whole), type(event))
    except CodecError as error:
        assert str(error)


@pytest.mark.parametrize(
    "data", [None, b"", b"\xc3", b"\xc3\x01", b"\xff\xd8\xff\xe0 a JPEG", b"\x00\x00\x00\x00\x01confluent"]
)
def test_what_is_no_event(data: bytes | None) -> None:
    with pytest.raises(NotAnEvent) as caught:
        decode(data, Upload)
    assert caught.value.reason == "not_an_event"


def test_an_unknown_schema_is_refused() -> None:
    with pytest.raises(UnknownSchema, match="0102030405060708") as caught:
        decode(b"\xc3\x01" + bytes(range(1, 9)) + b"body", Upload)
    assert caught.value.reason == "unknown_schema"


def test_another_kind_is_refused() -> None:
    with pytest.raises(UnknownSchema, match="Upload where Frame is expected"):
        decode(encode(upload()), Frame)


@pytest.mark.parametrize(
    "changes",
    [
        {"created_at": datetime(2026, 1, 1)},
        {"user_id": None},
        {"user_id": "\ud800"},
        {"picture": None},
        {"picture": Picture(data="text")},  # type: ignore[arg-type]
    ],
)
def test_what_the_schema_does_not_allow_is_not_written(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedEvent):
        encode(upload(**changes))


@pytest.mark.parametrize("origin", [UploadOrigin, FrameOrigin])
@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_an_origin_keeps_its_kind(origin: type, data: st.DataObject) -> None:
    embedding = dataclasses.replace(data.draw(events(Embedding)), origin=data.draw(events(origin)))
    assert type(decode(encode(embedding), Embedding).origin) is origin


@pytest.mark.parametrize("kind", [Upload, Frame, Embedding, Match, Enrolment], ids=lambda kind: kind.__name__)
@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_the_event_id_can_be_read_alone(kind: type, data: st.DataObject) -> None:
    event = data.draw(events(kind))
    assert codec.event_id(encode(event)) == event.event_id


@given(data=st.none() | st.binary(max_size=20))
def test_what_is_no_event_has_no_event_id(data: bytes | None) -> None:
    assert codec.event_id(data) is None


@pytest.mark.parametrize("kind", [Upload, Frame, Embedding], ids=lambda kind: kind.__name__)
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_replay_marks_an_event_without_decoding_it(kind: type, data: st.DataObject) -> None:
    live = dataclasses.replace(data.draw(events(kind)), replay_id=None, corrects=False)
    corrects = data.draw(st.booleans())
    event = dataclasses.replace(live, replay_id="r1", corrects=corrects)
    assert codec.marked(encode(live), kind, "r1", corrects) == encode(event)
    assert codec.marked(encode(event), kind, "r2", corrects) is None


def test_what_is_of_another_kind_or_version_is_not_marked_unread() -> None:
    assert codec.marked(encode(upload()), Frame, "r1", False) is None
    assert codec.marked(b"rubbish\x00\x00", Upload, "r1", False) is None
    assert codec.marked(None, Upload, "r1", False) is None
