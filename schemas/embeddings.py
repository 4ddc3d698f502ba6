"""Events of the topic ``embeddings``: the faces of uploads and frames as vectors."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from schemas.ingest import Consent, Mode
from schemas.parts import Box, Quality, Refusal, Source, Timings


@dataclass(frozen=True, slots=True)
class OtherVector:
    """The vector of a face by another model version, as little-endian float32."""

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
    """The fields that an embedding takes from its upload."""

    subject_id: str
    created_at: datetime
    consent: Consent
    picture_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class FrameOrigin:
    """The fields that an embedding takes from its frame."""

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
    """A template's vector by another model version, as little-endian float32, on the topic ``embeddings``."""

    template_id: str
    user_id: str
    model_version: str
    vector: bytes


@dataclass(frozen=True, slots=True)
class TemplateBatch:
    """Templates of one user that are imported, on the topic ``embeddings``; each an encoded ``Template``."""

    user_id: str
    model_versions: list[str]
    templates: list[bytes]
    replay_id: str
