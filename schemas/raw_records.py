"""Reads events as plain records: numbers for times and text for ids, in a quarter of the time that the codec takes."""

from __future__ import annotations

import io
from functools import cache
from typing import Any

import fastavro

from schemas import registry

_HEADER_BYTES = 10


def read(data: bytes, event_type: type) -> Any:
    """The record of an event; None if it was written with another schema than the newest of its kind, or is broken.

    ``codec.decode`` reads it then, or says what is wrong.
    """
    return read_as(data, event_type, plain_schema(event_type))


def read_as(data: bytes, event_type: type, schema: Any) -> Any:
    """The same, read with a schema of the same encoding."""
    if not data.startswith(registry.newest(event_type).header):
        return None
    body = io.BytesIO(data)
    body.seek(_HEADER_BYTES)
    try:
        record: Any = fastavro.schemaless_reader(body, schema, None)
    except (EOFError, ValueError, TypeError, IndexError, OverflowError, KeyError, MemoryError):
        return None
    return record if body.tell() == len(data) else None


@cache
def plain_schema(event_type: type) -> Any:
    """The newest schema of a kind of event without logical types."""
    return fastavro.parse_schema(_plain(registry.plain(registry.newest(event_type))))


def _plain(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: _plain(value) for key, value in schema.items() if key != "logicalType"}
    return [_plain(one) for one in schema] if isinstance(schema, list) else schema
