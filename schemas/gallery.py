"""The record of the gallery's table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from schemas.ingest import Consent
from schemas.parts import Quality, Source


@dataclass(frozen=True, slots=True)
class Template:
    """One enrolled face in the gallery; ``vector`` is little-endian float32."""

    template_id: str
    user_id: str
    subject_id: str
    model_version: str
    vector: bytes
    quality: Quality
    consent: Consent
    source: Source
    enrolled_at: datetime
    picture_sha256: str | None = None
