"""The events that flow through facestream, as frozen dataclasses.

Each class mirrors the record of the same name in ``schemas/*.avsc``, where every field is described. Times are
timezone-aware UTC datetimes with microseconds; lengths are pixels of the upright picture.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from schemas.drift import Drift as Drift
from schemas.drift import DriftSample as DriftSample
from schemas.erasure import Erasure as Erasure
from schemas.learning import Feedback as Feedback
from schemas.learning import RunCondition as RunCondition
from schemas.learning import RunState as RunState
from schemas.learning import Statement as Statement
from schemas.learning import TrainingRun as TrainingRun
from schemas.parts import Box as Box
from schemas.parts import Decision as Decision
from schemas.parts import Quality as Quality
from schemas.parts import Source as Source
from schemas.replays import OffsetRange as OffsetRange
from schemas.replays import Replay as Replay
from schemas.replays import ReplayState as ReplayState
from schemas.replays import Resolution as Resolution
from schemas.replays import ResolutionState as ResolutionState
from schemas.rollout import ComparedFace as ComparedFace
from schemas.rollout import Comparison as Comparison
from schemas.rollout import ModelRecord as ModelRecord
from schemas.rollout import ModelState as ModelState
from schemas.rollout import Reembedding as Reembedding


def utc_now() -> datetime:
    """The present as an aware UTC datetime."""
    return datetime.now(UTC)


def new_event_id() -> str:
    """A random UUID, the idempotence key of a new event."""
    return str(uuid.uuid4())


class Mode(StrEnum):
    """The question asked of each face in a frame."""

    IDENTIFY = "identify"
    VERIFY = "verify"


class Outcome(StrEnum):
    """What came of an upload."""

    ENROLLED = "enrolled"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture, carried in the event (``data``) or named by an address (``uri``)."""

    data: bytes | None = None
    uri: str | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Consent:
    """What the person agreed to."""

    purpose: str
    granted_at: datetime
    expires_at: datetime | None = None
    training: bool = False


@dataclass(frozen=True, slots=True)
class Upload:
    """An enrolment photo on the topic ``uploads``."""

    event_id: str
    user_id: str
    subject_id: str
    created_at: datetime
    picture: Picture
    consent: Consent
    source: Source | None = None
    produced_at: datetime | None = None
    replay_id: str | None = None
    corrects: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """A camera picture on the topic ``frames``."""

    event_id: str
    user_id: str
    camera_id: str
    sequence: int
    captured_at: datetime
    picture: Picture
    mode: Mode = Mode.IDENTIFY
    subject_id: str | None = None
    source: Source | None = None
    produced_at: datetime | None = None
    replay_id: str | None = None
    corrects: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a picture gave no answer: a stable word for programs and a sentence for people."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time went: time stamps, and durations in milliseconds."""

    produced_at: datetime
    received_at: datetime
    embedded_at: datetime
    decode_ms: float = 0.0
    detect_ms: float = 0.0
    align_ms: float = 0.0
    embed_ms: float = 0.0


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
class Candidate:
    """A subject and how alike it is."""

    subject_id: str
    similarity: float
    distance: float
    fmr: float


@dataclass(frozen=True, slots=True)
class MatchedFace:
    """One face of a frame and its decision."""

    box: Box
    landmarks: list[float]
    quality: Quality
    decision: Decision
    subject_id: str | None = None
    reason: str | None = None
    candidates: list[Candidate] = field(default_factory=list)
    ambiguous: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """The answer to one frame, on the topic ``matches``."""

    event_id: str
    user_id: str
    camera_id: str
    sequence: int
    captured_at: datetime
    mode: Mode
    source: Source
    model_version: str
    threshold_set: str
    width: int
    height: int
    timings: Timings
    matched_at: datetime
    faces: list[MatchedFace] = field(default_factory=list)
    subject_id: str | None = None
    refusal: Refusal | None = None
    replay_id: str | None = None
    corrects: bool = False


@dataclass(frozen=True, slots=True)
class Enrolment:
    """The outcome of one upload, on the topic ``enrolments``."""

    event_id: str
    user_id: str
    subject_id: str
    created_at: datetime
    outcome: Outcome
    source: Source
    model_version: str
    templates: int
    timings: Timings
    decided_at: datetime
    refusal: Refusal | None = None
    box: Box | None = None
    quality: Quality | None = None
    repeats: str | None = None
    similar_subject_id: str | None = None
    detail: str | None = None
    replay_id: str | None = None
    corrects: bool = False


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


@dataclass(frozen=True, slots=True)
class Chip:
    """An aligned face that may be learned from, as JPEG, on the topic ``chips``."""

    event_id: str
    user_id: str
    subject_id: str
    jpeg: bytes
    model_version: str
    quality: Quality
    consent: Consent
    source: Source
    uploaded_at: datetime


@dataclass(frozen=True, slots=True)
class Header:
    """One Kafka header."""

    name: str
    value: bytes | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that could not be processed, as it was, on the topic ``dead-letters``."""

    letter_id: str
    stage: str
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[Header]
    reason: str
    error_class: str
    message: str
    attempt: int
    failed_at: datetime


Event = (
    Upload
    | Frame
    | Embedding
    | Reembedding
    | Match
    | Comparison
    | Enrolment
    | Template
    | Chip
    | DeadLetter
    | Replay
    | Resolution
    | ModelRecord
    | Drift
    | DriftSample
    | TrainingRun
    | Feedback
    | Erasure
)
"""Everything that travels as the value of a Kafka message."""
