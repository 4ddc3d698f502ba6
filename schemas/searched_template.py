"""Reads of an encoded template only what a search needs: a tenth of the time of reading all with the codec."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import fastavro

from schemas import codec, raw_records, registry, template_records
from schemas.gallery import Template
from schemas.ids import canonical


@dataclass(slots=True)
class SearchedTemplate:
    """A template without what is only shown; see :class:`schemas.gallery.Template`.

    It is not frozen, since millions are made when a gallery is loaded.
    """

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
    record = raw_records.read_as(data, Template, _flat())
    if record is not None and template_records.are_times(record["consent_granted_at"], record["enrolled_at"]):
        try:
            return _of_record(record)
        except (ValueError, OverflowError):
            pass  # codec.decode says what is wrong
    return SearchedTemplate.of(codec.decode(data, Template))


def _of_record(record: Any) -> SearchedTemplate:
    ends = record["consent_expires_at"]
    return SearchedTemplate(
        template_records.uuid_of(record["template_id"]),
        canonical(record["user_id"]),
        canonical(record["subject_id"]),
        record["model_version"],
        record["vector"],
        record["consent_purpose"],
        None if ends is None else template_records.time_of(ends),
    )


@cache
def _flat() -> Any:
    """The newest schema as one record with the same encoding that makes fewer objects: numbers are left as bytes."""
    return fastavro.parse_schema({"type": "record", "name": "FlatTemplate", "fields": _flat_fields()})


def _flat_fields() -> list[dict[str, Any]]:
    fields: list[dict[str, Any]] = []
    floats, defined = 0, set[str]()
    for name, kind in [*leaves(registry.plain(registry.newest(Template)), ""), ("", None)]:
        if kind == "float":
            floats += 1
            continue
        if floats:
            fields.append({"name": f"floats_{len(fields)}", "type": _bytes_of(floats, defined)})
            floats = 0
        if kind is not None:
            is_float = isinstance(kind, list) and "float" in kind
            fields.append({"name": name, "type": ["null", _bytes_of(1, defined)] if is_float else kind})
    return fields


def leaves(record: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """The fields of a record and of those within it, without logical types."""
    for field in record["fields"]:
        kind = _without_logical_type(field["type"])
        if isinstance(kind, dict) and kind["type"] == "record":
            yield from leaves(kind, f"{prefix}{field['name']}_")
        else:
            yield prefix + field["name"], kind


def _without_logical_type(kind: Any) -> Any:
    if isinstance(kind, list):
        return [_without_logical_type(one) for one in kind]
    return kind["type"] if isinstance(kind, dict) and "logicalType" in kind else kind


def _bytes_of(floats: int, defined: set[str]) -> Any:
    """So many numbers of four bytes, as one field of bytes."""
    name = f"Floats{floats}"
    if name in defined:
        return name
    defined.add(name)
    return {"type": "fixed", "name": name, "size": 4 * floats}
