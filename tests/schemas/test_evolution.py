"""Every version ever committed stays readable, and the newest can be read by the one before."""

import copy
import io
from collections.abc import Iterator
from typing import Any

import fastavro
import pytest
from fastavro.read import SchemaResolutionError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import registry
from schemas.clock import utc_now
from schemas.codec import decode, encode
from schemas.ids import new_event_id
from schemas.ingest import Consent, Picture, Upload
from schemas.registry import Schema
from tests.schemas.strategies import events

KINDS = sorted(registry.EVENT_TYPES.values(), key=lambda kind: kind.__name__)
VERSIONS = [
    pytest.param(schema, id=f"{schema.event_type.__name__}-{schema.fingerprint.hex()}") for schema in registry.kept()
]


def rewritten(event: Any, schema: Any) -> bytes:
    """The body of an event as a release with another schema would write it."""
    newest = registry.newest(type(event)).parsed
    record: Any = fastavro.schemaless_reader(io.BytesIO(encode(event)[10:]), newest, return_record_name=True)
    _forget_new_words(record, schema)
    body = io.BytesIO()
    fastavro.schemaless_writer(body, schema, record)
    return body.getvalue()


def _forget_new_words(record: Any, schema: Any) -> None:
    """A release that does not know a word does not write it, wherever in the event."""
    for field in schema["fields"]:
        kind, value = field["type"], record[field["name"]]
        if isinstance(kind, dict) and kind["type"] == "enum" and value not in kind["symbols"]:
            record[field["name"]] = kind["default"]
        if isinstance(kind, list) and isinstance(value, tuple):
            name, inner = value
            _forget_new_words(inner, next(one for one in kind if isinstance(one, dict) and one.get("name") == name))


def read(body: bytes, writer: Any, reader: Any) -> Any:
    return fastavro.schemaless_reader(io.BytesIO(body), writer, reader)


@pytest.mark.parametrize("schema", VERSIONS)
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_every_version_is_readable(schema: Schema, data: st.DataObject) -> None:
    event = data.draw(events(schema.event_type))
    message = schema.header + rewritten(event, schema.parsed)
    assert decode(message, schema.event_type).__class__ is schema.event_type


@pytest.mark.parametrize("schema", VERSIONS)
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_the_newest_is_readable_by_the_one_before(schema: Schema, data: st.DataObject) -> None:
    versions = [one for one in registry.kept() if one.event_type is schema.event_type]
    before = versions[versions.index(schema) - 1] if schema is not versions[0] else schema
    event = data.draw(events(schema.event_type))
    body = rewritten(event, schema.parsed)
    assert read(body, schema.parsed, before.parsed)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_newest_is_kept(kind: type) -> None:
    kept = {schema.fingerprint for schema in registry.kept()}
    assert registry.newest(kind).fingerprint in kept, "run `python -m schemas.archive` and commit what it writes"


def test_no_version_is_kept_twice() -> None:
    fingerprints = [schema.fingerprint for schema in registry.kept()]
    assert len(fingerprints) == len(set(fingerprints))


def changed(kind: type) -> dict[str, Any]:
    plain = copy.deepcopy(registry.plain(registry.newest(kind)))
    plain.pop("__fastavro_parsed__", None)
    return plain


def an_upload() -> Upload:
    now = utc_now()
    return Upload(new_event_id(), "anna", "anna", now, Picture(data=b"photo"), Consent("door", now))


def test_an_optional_field_may_be_added() -> None:
    plain = changed(Upload)
    plain["fields"].append({"name": "device", "type": ["null", "string"], "default": None, "doc": "Which phone."})
    new, old = fastavro.parse_schema(plain), registry.newest(Upload).parsed
    body = rewritten(an_upload(), old)
    assert read(body, old, new)["device"] is None
    record = read(body, old, new) | {"device": "phone"}
    out = io.BytesIO()
    fastavro.schemaless_writer(out, new, record)
    assert "device" not in read(out.getvalue(), new, old)


def test_a_removed_field_without_a_default_is_caught() -> None:
    plain = changed(Upload)
    plain["fields"] = [field for field in plain["fields"] if field["name"] != "subject_id"]
    new, old = fastavro.parse_schema(plain), registry.newest(Upload).parsed
    with pytest.raises(SchemaResolutionError):
        read(rewritten(an_upload(), new), new, old)


def test_an_added_field_without_a_default_is_caught() -> None:
    plain = changed(Upload)
    plain["fields"].append({"name": "device", "type": "string", "doc": "Which phone."})
    new, old = fastavro.parse_schema(plain), registry.newest(Upload).parsed
    with pytest.raises(SchemaResolutionError):
        read(rewritten(an_upload(), old), old, new)


def named(schema: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every record, enum and field of a schema, with where it is."""
    if isinstance(schema, list):
        for part in schema:
            yield from named(part, path)
    elif isinstance(schema, dict):
        if schema.get("type") in ("record", "enum", "fixed"):
            path = f"{path}/{schema['name']}"
            yield path, schema
            for field in schema.get("fields", ()):
                yield f"{path}.{field['name']}", field
                yield from named(field["type"], f"{path}.{field['name']}")
        else:
            yield from named(schema.get("items") or schema.get("values"), path)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_everything_is_described(kind: type) -> None:
    silent = [path for path, part in named(registry.newest(kind).parsed) if len(part.get("doc", "")) < 5]
    assert not silent


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_classes_mirror_the_schemas(kind: type) -> None:
    fields = {field["name"] for field in registry.newest(kind).parsed["fields"]}
    assert fields == set(kind.__dataclass_fields__)  # type: ignore[attr-defined]
