"""Encodes and decodes whole templates, as ``schemas.codec`` does, in a third of its time: there may be millions."""

from __future__ import annotations

import io
import re
import uuid
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

import fastavro

from schemas import codec, raw_records, registry
from schemas.gallery import Template
from schemas.ids import canonical
from schemas.ingest import Consent
from schemas.parts import Quality, Source

_QUALITY = [one.name for one in fields(Quality)]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
TIMES = tuple((one.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND for one in (datetime.min, datetime.max))
"""The first and the last time that there is, in microseconds since 1970."""
_CANONICAL_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)


def raw_record(data: bytes) -> Any:
    """The record of a template that was written with the newest schema, with times in microseconds and ids as they are.

    None if it was written with another schema, or cannot be read: ``codec.decode`` then says what is wrong.
    """
    record = raw_records.read(data, Template)
    return record if record is not None and are_times(record["consent"]["granted_at"], record["enrolled_at"]) else None


def are_times(*micros: int) -> bool:
    """Whether there are times with so many microseconds since 1970."""
    first, last = TIMES
    return all(first <= one <= last for one in micros)


def decode(data: bytes) -> Template:
    """Read an encoded template.

    Raises:
        NotAnEvent, UnknownSchema, MalformedEvent: as :func:`schemas.codec.decode`.
    """
    record = raw_record(data)
    if record is not None:
        with suppress(ValueError, OverflowError):  # codec.decode says what is wrong
            return _of_record(record)
    return codec.decode(data, Template)


def encode(template: Template) -> bytes:
    """Encode a template; the bytes are those of :func:`schemas.codec.encode`.

    Raises:
        MalformedEvent: a field has a value that its schema does not allow, or a time without a timezone.
    """
    consent, source = template.consent, template.source
    body = io.BytesIO()
    body.write(registry.newest(Template).header)
    try:
        record = {
            "template_id": template.template_id,
            "user_id": template.user_id,
            "subject_id": template.subject_id,
            "model_version": template.model_version,
            "vector": template.vector,
            "quality": {name: getattr(template.quality, name) for name in _QUALITY},
            "consent": {
                "purpose": consent.purpose,
                "granted_at": micros_of(consent.granted_at),
                "expires_at": None if consent.expires_at is None else micros_of(consent.expires_at),
                "training": consent.training,
            },
            "source": {"topic": source.topic, "partition": source.partition, "offset": source.offset},
            "enrolled_at": micros_of(template.enrolled_at),
            "picture_sha256": template.picture_sha256,
        }
        fastavro.schemaless_writer(body, raw_records.plain_schema(Template), record)
    except (ValueError, TypeError, OverflowError, AttributeError, KeyError):
        return codec.encode(template)  # which says what is wrong
    return body.getvalue()


def uuid_of(text: str) -> str:
    """The canonical form of a UUID."""
    return text if _CANONICAL_UUID.fullmatch(text) else str(uuid.UUID(text))


def time_of(micros: int) -> datetime:
    """The UTC time for microseconds since 1970, exactly."""
    return _EPOCH + timedelta(microseconds=micros)


def micros_of(time: datetime) -> int:
    """The microseconds since 1970, exactly; a time without a timezone is a ``TypeError``."""
    return (time - _EPOCH) // _MICROSECOND


def _of_record(record: Any) -> Template:
    consent = record["consent"]
    return Template(
        template_id=uuid_of(record["template_id"]),
        user_id=canonical(record["user_id"]),
        subject_id=canonical(record["subject_id"]),
        model_version=record["model_version"],
        vector=record["vector"],
        quality=Quality(**record["quality"]),
        consent=Consent(
            consent["purpose"],
            time_of(consent["granted_at"]),
            None if consent["expires_at"] is None else time_of(consent["expires_at"]),
            consent["training"],
        ),
        source=Source(**record["source"]),
        enrolled_at=time_of(record["enrolled_at"]),
        picture_sha256=record["picture_sha256"],
    )
