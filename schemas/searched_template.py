"""Reads of an encoded template only what a search needs: a third of the time of reading all."""

from __future__ import annotations

import io
import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import fastavro

from schemas import codec, registry
from schemas.gallery import Template
from schemas.ids import canonical

_HEADER_BYTES = 10
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = (
    (one.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1) for one in (datetime.min, datetime.max)
)
"""The times that there are, in microseconds since 1970."""
_CANONICAL_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)


@dataclass(frozen=True, slots=True)
class SearchedTemplate:
    """A template without what is only shown; see :class:`schemas.gallery.Template`."""

    template_id: str
    user_id: str
    subject_id: str
    model_version: str
    vector: bytes
    purpose: str
    expires_at: datetime | None

    @classmethod
    def of(cls, template: Template) -> SearchedTemplate:
        """What a search needs of a template."""
        return cls(
            template.template_id,
            template.user_id,
            template.subject_id,
            template.model_version,
            template.vector,
            template.consent.purpose,
            template.consent.expires_at,
        )


def read(data: bytes) -> SearchedTemplate:
    """Read an encoded template.

    Raises:
        NotAnEvent, UnknownSchema, MalformedEvent: as :func:`schemas.codec.decode`.
    """
    if data.startswith(_header()):
        body = io.BytesIO(data)
        body.seek(_HEADER_BYTES)
        try:
            record: Any = fastavro.schemaless_reader(body, _without_logical_types(), None)
            times = record["consent"]["granted_at"], record["enrolled_at"]
            if body.tell() == len(data) and all(_FIRST <= micros <= _LAST for micros in times):
                return _of_record(record)
        except (EOFError, ValueError, TypeError, IndexError, OverflowError, KeyError, MemoryError):
            pass  # codec.decode says what is wrong
    return SearchedTemplate.of(codec.decode(data, Template))


def _of_record(record: Any) -> SearchedTemplate:
    template_id, ends = record["template_id"], record["consent"]["expires_at"]
    return SearchedTemplate(
        template_id if _CANONICAL_UUID.fullmatch(template_id) else str(uuid.UUID(template_id)),
        canonical(record["user_id"]),
        canonical(record["subject_id"]),
        record["model_version"],
        record["vector"],
        record["consent"]["purpose"],
        None if ends is None else _EPOCH + timedelta(microseconds=ends),
    )


@cache
def _header() -> bytes:
    return registry.newest(Template).header


@cache
def _without_logical_types() -> Any:
    """The newest schema with times as numbers and UUIDs as text, which are read without making objects of them."""
    return fastavro.parse_schema(_plain(registry.plain(registry.newest(Template))))


def _plain(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: _plain(value) for key, value in schema.items() if key != "logicalType"}
    return [_plain(one) for one in schema] if isinstance(schema, list) else schema
