"""Events as plain JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

from schemas import codec
from schemas.as_json import time_text, to_json
from schemas.embeddings import Embedding, Face, OtherVector, Reembedding, UploadOrigin
from schemas.ids import new_event_id
from schemas.ingest import Consent, Picture, Upload
from schemas.learning import Chip
from schemas.parts import Source
from schemas.results import Match
from tests.sinks.examples import BOX, NOW, QUALITY, dead_letter, enrolment, match, timings


def test_times_sort_as_text_and_are_utc() -> None:
    whole = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert time_text(whole) == "2026-01-02T03:04:05.000000Z"
    assert time_text(whole.astimezone(timezone(timedelta(hours=2)))) == time_text(whole)
    assert time_text(whole) < time_text(whole + timedelta(microseconds=1))


def test_a_match_that_went_through_avro_reads_as_it_was_written() -> None:
    event = match()
    plain = to_json(codec.decode(codec.encode(event), Match))
    assert plain == json.loads(json.dumps(to_json(event)))
    # 1e-5 and 0.1 are not what a float32 holds; their seven digits are.
    assert plain["faces"][0]["candidates"][0]["fmr"] == 1e-5
    assert type(plain["mode"]) is type(plain["faces"][0]["decision"]) is str


def test_every_kind_is_json_and_carries_no_picture_or_vector() -> None:
    consent = Consent("door", NOW)
    secret = b"secret-bytes"
    upload = Upload(new_event_id(), "u", "s", NOW, Picture(data=secret, sha256="ab"), consent)
    faces = [Face(BOX, [0.0] * 10, QUALITY, vector=secret, others=[OtherVector("m", secret)])]
    origin, source = UploadOrigin("s", NOW, consent), Source("uploads", 0, 1)
    embedding = Embedding(new_event_id(), "u", origin, source, "m", 1, 1, timings(), faces)
    reembedding = Reembedding(new_event_id(), "u", "m", secret)
    chip = Chip(new_event_id(), "u", "s", secret, "m", QUALITY, consent, source, NOW)
    for event in (upload, embedding, reembedding, chip, match(), enrolment(), dead_letter(value=secret)):
        assert "secret" not in json.dumps(to_json(event))
    assert to_json(dead_letter())["key"] == "ursula"
