"""Events of drift detection."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from schemas.parts import Quality


@dataclass(frozen=True, slots=True)
class DriftFace:
    """The largest face of a frame, for drift detection; ``vector`` is little-endian float16, None if refused."""

    stay: int
    quality: Quality
    vector: bytes | None = None
    faceless_before: int = 0


@dataclass(frozen=True, slots=True)
class DriftDecision:
    """The decision about the largest face of a frame, with its margin."""

    stay: int
    subject_id: str | None = None
    margin: float | None = None


@dataclass(frozen=True, slots=True)
class DriftPosition:
    """How far a topic has been counted: all messages before this offset, in the partition of the record."""

    topic: str
    offset: int


@dataclass(frozen=True, slots=True)
class DriftAlarm:
    """A measure that alarms, with the number of the camera's frame at which its alarm was raised."""

    measure: str
    frame: int


@dataclass(frozen=True, slots=True)
class DriftSample:
    """The faces and decisions of a camera, as reference or current sample, on the topic ``drift-references``."""

    user_id: str
    camera_id: str
    model_version: str
    faces: list[DriftFace]
    decisions: list[DriftDecision]
    faceless: int
    saved_at: datetime
    frames: int = 0
    reported: int = 0
    alarms: list[DriftAlarm] = field(default_factory=list)
    positions: list[DriftPosition] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class DriftMeasure:
    """One comparison of a camera's current sample with its reference."""

    name: str
    effect: float
    p_value: float
    alarm: bool
    reference: float | None = None
    current: float | None = None


@dataclass(frozen=True, slots=True)
class Drift:
    """A report of how a camera and model version compare with their reference, on the topic ``drift``."""

    report_id: str
    user_id: str
    camera_id: str
    model_version: str
    frames: int
    frames_in_all: int
    alarm: bool
    measures: list[DriftMeasure]
    captured_at: datetime
    reported_at: datetime
