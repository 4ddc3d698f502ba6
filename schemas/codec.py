"""Encodes and decodes events, in Avro's single-object encoding.

An encoded event is ``C3 01``, the CRC-64-AVRO fingerprint of the writer's schema, and the Avro body. A reader accepts
every schema version that was ever committed, and refuses unknown ones. Source: Avro 1.12 specification, "Single-object
encoding".
"""

from __future__ import annotations

import dataclasses
import io
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import cattrs
import fastavro
from cattrs.gen import make_dict_structure_fn, override

from schemas import registry
from schemas.embeddings import FrameOrigin, UploadOrigin
from schemas.errors import MalformedEvent, NotAnEvent, UnknownSchema
from schemas.ids import NAMES, InvalidId, canonical, canonical_event_id
from schemas.registry import Event

E = TypeVar("E", bound=Event)
_HEADER_BYTES = 10
_BAD_BODY = (
    EOFError,
    ValueError,
    TypeError,
    IndexError,
    OverflowError,
    KeyError,
    MemoryError,
    cattrs.BaseValidationError,
)
_MARKER = b"\xc3\x01"
_UUID_CHARACTERS = range(32, 48)
"""Lengths of a UUID as text, from bare digits to ``urn:uuid:{…}``; Avro writes twice the length before it."""
_MARK = fastavro.parse_schema(
    {
        "type": "record",
        "name": "Mark",
        "fields": [{"name": "replay_id", "type": ["null", "string"]}, {"name": "corrects", "type": "boolean"}],
    }
)
"""The last two fields of events that can be replayed."""
_UNMARKED = b"\x00\x00"
"""The last two bytes of a live event: no replay id, and no correction."""


def _converter() -> cattrs.Converter:
    """A converter between dataclasses and what fastavro reads and writes; it leaves times and bytes as they are."""
    converter = cattrs.Converter()
    converter.register_structure_hook(datetime, lambda value, _: value)
    converter.register_unstructure_hook(datetime, _aware)
    converter.register_structure_hook(bytes, lambda value, _: value)
    converter.register_unstructure_hook(bytes, lambda value: value)
    # Logical type uuid: fastavro reads a UUID and writes either.
    converter.register_structure_hook_func(lambda cls: cls is str, lambda value, _: str(value))
    converter.register_structure_hook_factory(_has_names, lambda cls: _with_canonical_names(cls, converter))
    origins = {f"facestream.{cls.__name__}": cls for cls in (UploadOrigin, FrameOrigin)}
    converter.register_structure_hook(
        UploadOrigin | FrameOrigin, lambda value, _: converter.structure(value[1], origins[value[0]])
    )
    converter.register_unstructure_hook(
        UploadOrigin | FrameOrigin,
        lambda value: (f"facestream.{type(value).__name__}", converter.unstructure(value, type(value))),
    )
    return converter


def _has_names(cls: Any) -> bool:
    return dataclasses.is_dataclass(cls) and not NAMES.isdisjoint(cls.__dataclass_fields__)


def _with_canonical_names(cls: Any, converter: cattrs.Converter) -> Callable[..., Any]:
    """A function that makes an object of a class, with its names in canonical form, whatever their writer used."""
    found = NAMES.intersection(cls.__dataclass_fields__)
    return make_dict_structure_fn(cls, converter, **{name: override(struct_hook=_name) for name in found})  # type: ignore[arg-type]


def _name(value: Any, _: Any) -> Any:
    if isinstance(value, list):
        return [canonical(one) for one in value]
    return None if value is None else canonical(value)


def _aware(value: datetime) -> datetime:
    """Return the time, but refuse one without a timezone, which fastavro would take as the machine's local time."""
    if value.tzinfo is None:
        raise ValueError(f"{value.isoformat()} has no timezone")
    return value


_CONVERTER = _converter()


def encode(event: Event) -> bytes:
    """Encode an event with the newest schema of its kind.

    Raises:
        MalformedEvent: a field has a value that its schema does not allow, or a time without a timezone.
    """
    schema = registry.newest(type(event))
    body = io.BytesIO()
    body.write(schema.header)
    try:
        fastavro.schemaless_writer(body, schema.parsed, _CONVERTER.unstructure(event))
    except (ValueError, TypeError, OverflowError, AttributeError, KeyError) as error:
        raise MalformedEvent(f"{type(event).__name__} cannot be written: {error}") from error
    return body.getvalue()


def decode(data: bytes | None, event_type: type[E]) -> E:
    """Decode one event of the kind that the caller expects.

    Raises:
        NotAnEvent: there is no single-object marker.
        UnknownSchema: the fingerprint is unknown, or that of another kind of event.
        MalformedEvent: the body does not fit its schema.
    """
    if data is None or len(data) < _HEADER_BYTES or data[:2] != _MARKER:
        raise NotAnEvent(
            f"{0 if data is None else len(data)} bytes that do not begin with the Avro single-object marker C3 01: "
            "produce with facestream's client or encode with schemas.codec"
        )
    writer = registry.known().get(data[2:_HEADER_BYTES])
    if writer is None:
        raise UnknownSchema(f"schema fingerprint {data[2:10].hex()} is unknown: upgrade this worker, or the producer")
    if writer.event_type is not event_type:
        raise UnknownSchema(f"{writer.event_type.__name__} where {event_type.__name__} is expected: wrong topic")
    body = io.BytesIO(data)
    body.seek(_HEADER_BYTES)
    try:
        record: Any = fastavro.schemaless_reader(
            body,
            writer.parsed,
            registry.newest(event_type).parsed,
            return_record_name=True,
            return_record_name_override=True,
        )
        rest = len(data) - body.tell()
        event: E = _CONVERTER.structure(record, event_type)
    except _BAD_BODY as error:
        raise MalformedEvent(f"{event_type.__name__} does not fit: {type(error).__name__} {error}") from error
    if rest:
        raise MalformedEvent(f"{event_type.__name__} has {rest} bytes after its end")
    return event


def kind(data: bytes | None) -> type[Event] | None:
    """The kind of event by the fingerprint; None if it is unknown. The body is not checked."""
    writer = None if data is None or data[:2] != _MARKER else registry.known().get(data[2:_HEADER_BYTES])
    return None if writer is None else writer.event_type


def event_id(data: bytes | None) -> str | None:
    """The event id of an encoded event, in canonical form, without decoding the rest.

    This works because the event id is the first field of every event that has one. Returns None if the bytes cannot
    have one. The kind of event is not checked.
    """
    if data is None or data[:2] != _MARKER or len(data) <= _HEADER_BYTES:
        return None
    length, odd = divmod(data[_HEADER_BYTES], 2)
    if odd or length not in _UUID_CHARACTERS:
        return None
    try:
        return canonical_event_id(data[_HEADER_BYTES + 1 : _HEADER_BYTES + 1 + length].decode("ascii", "replace"))
    except InvalidId:
        return None


def marked(data: bytes | None, event_type: type[Event], replay_id: str, corrects: bool) -> bytes | None:
    """Turn an encoded live event into one of a replay, without decoding it.

    This works because the replay's fields are the last ones of every event that has them. Returns None if the bytes are
    not of the newest schema of the kind, or are of a replay already. The rest is not checked.
    """
    schema = registry.newest(event_type)
    if data is None or not data.startswith(schema.header) or not data.endswith(_UNMARKED):
        return None
    mark = io.BytesIO()
    fastavro.schemaless_writer(mark, _MARK, {"replay_id": replay_id, "corrects": corrects})
    return data[: -len(_UNMARKED)] + mark.getvalue()


def stable_id(*parts: object) -> str:
    """A UUID that is always the same for the same parts, for ids that a retry must not change."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, "\x00".join(map(str, parts))))


def from_micros(micros: int) -> datetime:
    """The UTC datetime for microseconds since 1970."""
    return datetime.fromtimestamp(micros / 1_000_000, UTC)
