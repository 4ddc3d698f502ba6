"""The topic ``embeddings``: the faces of uploads and frames as vectors."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from schemas.ingest import Consent, Mode
from schemas.parts import Box, Quality, Refusal, Source, Timings


@dataclass(frozen=True, slots=True)
class OtherVector:
    """A face by another model version; ``vector`` is little-endian float32."""

    model_version: str
    vector: bytes


@dataclass(frozen=True, slots=True)
class Face:
    """One detected face; ``vector`` is little-endian float32, or None if refused."""

    box: Box
    landmarks: list[float]
    quality: Quality
    refusal: str | None = None
    vector: bytes | None = None
    others: list[OtherVector] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class UploadOrigin:
    """What an embedding keeps of its upload."""

    subject_id: str
    created_at: datetime
    consent: Consent
    picture_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class FrameOrigin:
    """What an embedding keeps of its frame."""

    camera_id: str
    sequence: int
    captured_at: datetime
    mode: Mode
    subject_id: str | None = None


@dataclass(frozen=True, slots=True)
class Embedding:
    """The faces of one upload or frame, on the topic ``embeddings``."""

    event_id: str
    user_id: str
    origin: UploadOrigin | FrameOrigin
    source: Source
    model_version: str
    width: int
    height: int
    timings: Timings
    faces: list[Face] = field(default_factory=list)
    refusal: Refusal | None = None
    shadows: list[str] = field(default_factory=list)
    replay_id: str | None = None
    corrects: bool = False


@dataclass(frozen=True, slots=True)
class Reembedding:
    """A template's face by another model version, on the topic ``embeddings``; little-endian float32."""

    template_id: str
    user_id: str
    model_version: str
    vector: bytes
