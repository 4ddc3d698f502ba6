"""One thing has one spelling: whatever form goes in, the same id comes out everywhere."""

import unicodedata
import uuid
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import codec, ids
from schemas.clock import utc_now
from schemas.ids import InvalidId, canonical, canonical_event_id, checked_name, new_event_id, spellings
from schemas.ingest import Consent, Frame, Mode, Picture, Upload

FORMS = ("NFC", "NFD")
NAMES = st.text(min_size=1, max_size=30)
LATIN = st.text(st.characters(min_codepoint=0xC0, max_codepoint=0x24F, categories=("L",)), min_size=1, max_size=20)


@given(NAMES)
def test_the_canonical_form_is_that_of_each_form(name: str) -> None:
    assert canonical(canonical(name)) == canonical(name)
    assert {canonical(unicodedata.normalize(form, name)) for form in FORMS} == {canonical(name)}
    assert {canonical(one) for one in spellings(name)} == {canonical(name)}
    assert spellings(name)[0] == canonical(name)
    assert name in spellings(name)


@given(LATIN)
def test_a_name_in_any_form_is_the_same_name_behind_every_door(name: str) -> None:
    found = {checked_name("user_id", unicodedata.normalize(form, name)) for form in FORMS}
    now = utc_now()
    for form in FORMS:
        raw = unicodedata.normalize(form, name)
        frame = Frame(new_event_id(), raw, raw, 0, now, Picture(b"x"), Mode.VERIFY, raw)
        upload = Upload(new_event_id(), raw, raw, now, Picture(b"x"), Consent("tests", now))
        read_frame = codec.decode(codec.encode(frame), Frame)
        read_upload = codec.decode(codec.encode(upload), Upload)
        found |= {read_frame.user_id, read_frame.camera_id, read_frame.subject_id or ""}
        found |= {read_upload.user_id, read_upload.subject_id}
    assert len(found) == 1


def test_texts_that_are_no_names_are_left_as_they_are() -> None:
    """An address names a file byte by byte."""
    now = utc_now()
    uri = unicodedata.normalize("NFD", "file:///photos/Zo\u00eb.jpg")
    upload = Upload(new_event_id(), "u", "s", now, Picture(uri=uri), Consent("tests", now))
    assert codec.decode(codec.encode(upload), Upload).picture.uri == uri


@given(st.uuids())
def test_an_event_id_in_any_form_is_the_same_id(one: uuid.UUID) -> None:
    plain = str(one)
    forms = [plain, plain.upper(), one.hex, one.hex.upper(), f"{{{plain.upper()}}}", one.urn, f" {plain}\n"]
    assert {canonical_event_id(form) for form in forms} == {plain}
    now = utc_now()
    frame = Frame(plain, "u", "c", 0, now, Picture(b"x"))
    for form in forms[:-1]:
        data = codec.encode(replace(frame, event_id=form))
        assert codec.event_id(data) == plain
        assert codec.decode(data, Frame).event_id == plain
    assert all(ids.begins(plain, form[:length]) for form in forms[:4] for length in (1, 8, 12, 32))


@pytest.mark.parametrize("text", ["", "1", "anna", "0x" + "1" * 30, "1_" * 16, "\u0661" * 32, None])
def test_what_is_no_event_id(text: object) -> None:
    with pytest.raises(InvalidId, match="event_id must be a UUID"):
        canonical_event_id(text)


HIDDEN = [
    *("\u200b", "\u2060", "\ufeff", "\u00ad", "\u3164", "\u180e"),
    *("\u200e", "\u200f", "\u061c", *map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))),
    *("\x00", "\n", "\t", "\x7f", "\x85", "\u2028"),
]


@pytest.mark.parametrize("hidden", HIDDEN, ids=ascii)
@pytest.mark.parametrize("name", ["{}anna", "an{}na", "anna{}"])
def test_a_character_that_nobody_sees_is_named(hidden: str, name: str) -> None:
    with pytest.raises(InvalidId, match=rf"subject_id .*U\+{ord(hidden):04X}.*leave it out"):
        checked_name("subject_id", name.format(hidden))


def test_half_a_character_is_named() -> None:
    with pytest.raises(InvalidId, match="lone surrogates"):
        checked_name("camera_id", "door\udce9")


@pytest.mark.parametrize(
    "name",
    [
        "Jos\u00e9",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian: the joiner parts two of its letters
        "\u0915\u094d\u200d\u0937",  # Hindi: after a virama it chooses the shape
        "\u0dc1\u0dca\u200d\u0dbb\u0dd3",  # Sinhala: without it the syllable is another
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",  # a family of one emoji
        "\U0001f469\U0001f3fd\u200d\U0001f4bb",  # with a skin colour
        "\u738b\u5c0f\u660e",
        "anna maria o'neill (2)",
    ],
    ids=ascii,
)
def test_a_name_of_any_language_is_taken(name: str) -> None:
    assert checked_name("subject_id", name) == name


@pytest.mark.parametrize("name", ["an\u200dna", "\u200canna", "anna\u200c", "\u0645\u200c", "\u200d"], ids=ascii)
def test_a_joiner_that_joins_nothing_is_hidden(name: str) -> None:
    with pytest.raises(InvalidId, match="an invisible character"):
        checked_name("subject_id", name)


def test_the_length_is_that_of_the_canonical_form() -> None:
    assert checked_name("user_id", unicodedata.normalize("NFD", "\u00e9" * 128)) == "\u00e9" * 128
    with pytest.raises(InvalidId, match="256 bytes"):
        checked_name("user_id", "\u00e9" * 129)
