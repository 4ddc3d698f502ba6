from __future__ import annotations

import dataclasses
import io
from datetime import UTC, datetime

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import codec, raw_records, registry, searched_template, searched_templates, template_records
from schemas.errors import CodecError, MalformedEvent
from schemas.gallery import Template
from schemas.ids import new_event_id
from schemas.ingest import Consent
from schemas.parts import Quality, Source
from schemas.searched_template import SearchedTemplate
from tests.schemas.strategies import events

TEMPLATES: st.SearchStrategy[Template] = events(Template)


def outcome(data: bytes) -> SearchedTemplate | type[CodecError]:
    try:
        return SearchedTemplate.of(codec.decode(data, Template))
    except CodecError as error:
        return type(error)


@given(TEMPLATES)
def test_it_reads_what_decoding_reads(template: Template) -> None:
    assert searched_template.read(codec.encode(template)) == SearchedTemplate.of(template)


@given(TEMPLATES)
def test_a_whole_template_is_written_and_read_as_the_codec_does(template: Template) -> None:
    data = codec.encode(template)
    assert template_records.encode(template) == data
    assert template_records.decode(data) == codec.decode(data, Template)


@given(TEMPLATES, st.data())
def test_broken_bytes_are_what_they_are_to_the_codec(template: Template, data: st.DataObject) -> None:
    broken = bytearray(codec.encode(template))
    for _ in range(data.draw(st.integers(1, 3))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    some = bytes(broken[: data.draw(st.integers(0, len(broken)))] + data.draw(st.sampled_from([b"", b"\0"])))
    for one in (some, bytes(broken)):
        expected = outcome(one)
        if isinstance(expected, SearchedTemplate):
            assert searched_template.read(one) == expected
            assert str(template_records.decode(one)) == str(codec.decode(one, Template))  # as text, since nan != nan
        else:
            for read in (searched_template.read, template_records.decode):
                with pytest.raises(expected):
                    read(one)


@given(TEMPLATES)
def test_names_and_ids_are_read_in_canonical_form(template: Template) -> None:
    read = searched_template.read(written(template, template_id=template.template_id.upper(), user_id="e\u0301"))
    assert (read.template_id, read.user_id) == (template.template_id, "\u00e9")


@given(TEMPLATES, st.sampled_from([-(2**63), 2**62]))
def test_a_time_that_no_calendar_has_is_malformed(template: Template, micros: int) -> None:
    data = written(template, enrolled_at=micros)
    assert outcome(data) is MalformedEvent
    with pytest.raises(MalformedEvent):
        searched_template.read(data)


def written(template: Template, **changes: object) -> bytes:
    """An encoded template with values that the codec would not write."""
    body = io.BytesIO()
    schema = raw_records.plain_schema(Template)
    fastavro.schemaless_writer(body, schema, plain(dataclasses.asdict(template) | changes))
    return registry.newest(Template).header + body.getvalue()


def plain(value: object) -> object:
    """Times as Avro stores them."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, datetime):
        return round((value - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1_000_000)
    return value


@pytest.mark.parametrize(
    "kept", [one for one in registry.kept() if one.event_type is Template], ids=lambda one: one.fingerprint.hex()
)
@given(template=TEMPLATES)
def test_templates_of_earlier_releases_are_read(kept: registry.Schema, template: Template) -> None:
    record = codec._CONVERTER.unstructure(template)
    body = io.BytesIO()
    fastavro.schemaless_writer(body, kept.parsed, record)
    data = kept.header + body.getvalue()
    assert searched_template.read(data) == outcome(data)


def alone(values: list[bytes]) -> list[SearchedTemplate] | type[CodecError]:
    try:
        return [searched_template.read(value) for value in values]
    except CodecError as error:
        return type(error)


def together(values: list[bytes]) -> list[SearchedTemplate] | type[CodecError]:
    try:
        return searched_templates.read_all(values)
    except CodecError as error:
        return type(error)


@given(st.lists(TEMPLATES, max_size=20))
def test_many_are_read_as_each_alone(templates: list[Template]) -> None:
    assert searched_templates.read_all(list(map(codec.encode, templates))) == list(map(SearchedTemplate.of, templates))


@given(st.lists(TEMPLATES, min_size=1, max_size=4), st.data())
def test_broken_ones_among_many_are_what_they_are_alone(templates: list[Template], data: st.DataObject) -> None:
    values = [bytearray(codec.encode(template)) for template in templates]
    for _ in range(data.draw(st.integers(1, 3))):
        one = values[data.draw(st.integers(0, len(values) - 1))]
        one[data.draw(st.integers(0, len(one) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(values[0])))
    for some in ([bytes(one) for one in values], [bytes(values[0][:cut]), *map(bytes, values[1:])]):
        assert together(some) == alone(some)


@given(TEMPLATES, st.sampled_from([-(2**63), -(2**61), 2**62, 2**63 - 1]), st.text(min_size=100, max_size=300))
def test_unusual_values_among_many_are_read_as_alone(template: Template, number: int, text: str) -> None:
    source = {**dataclasses.asdict(template.source), "topic": text, "offset": number}
    consent = {**dataclasses.asdict(template.consent), "expires_at": number}
    changes: list[dict[str, object]] = [
        {"source": source},
        {"picture_sha256": text},
        {"enrolled_at": number},
        {"consent": consent},
        {"template_id": template.template_id.upper(), "user_id": "e\u0301"},
        {"template_id": template.template_id.replace("-", "")},
        {},
    ]
    for one in changes:
        values = [codec.encode(template), written(template, **one), codec.encode(template)]
        assert together(values) == alone(values)


def test_usual_templates_are_not_read_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    usual = Template(
        template_id=new_event_id(),
        user_id="ursula",
        subject_id="名前",
        model_version="one",
        vector=bytes(512),
        quality=Quality(0.9, 60.0, 120.0, 0.5, 0.0, 0.75, blockiness=0.1, covered=0.9, covered_part="mouth"),
        consent=Consent("tests", now, now),
        source=Source("uploads", 3, 1 << 40),
        enrolled_at=now,
        picture_sha256="ab" * 32,
    )
    read_alone: list[bytes] = []
    read = searched_template.read
    monkeypatch.setattr(searched_template, "read", lambda value: read_alone.append(value) or read(value))
    unusual = written(usual, template_id=usual.template_id.upper())
    searched_templates.read_all([*[codec.encode(usual)] * 50, unusual])
    assert read_alone == [unusual]
