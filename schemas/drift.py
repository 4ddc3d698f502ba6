"""Events of drift detection."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from schemas.parts import Quality


@dataclass(frozen=True, slots=True)
class DriftFace:
    """The largest face of a frame, as drift is judged by it; ``vector`` is little-endian float16, None if refused."""

    stay: int
    quality: Quality
    vector: bytes | None = None
    faceless_before: int = 0


@dataclass(frozen=True, slots=True)
class DriftDecision:
    """What was decided about the largest face of a frame, and how surely."""

    stay: int
    subject_id: str | None = None
    margin: float | None = None


@dataclass(frozen=True, slots=True)
class DriftPosition:
    """Messages of a topic, in the partition of the record, that were counted: those before this offset."""

    topic: str
    offset: int


@dataclass(frozen=True, slots=True)
class DriftAlarm:
    """A measure that alarms, and since which frame of its camera."""

    measure: str
    frame: int


@dataclass(frozen=True, slots=True)
class DriftSample:
    """What a camera showed, to be compared or compared with, on the topic ``drift-references``."""

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
    """One comparison of a camera's present with its reference."""

    name: str
    effect: float
    p_value: float
    alarm: bool
    reference: float | None = None
    current: float | None = None


@dataclass(frozen=True, slots=True)
class Drift:
    """How a camera and model version compare with their reference, on the topic ``drift``."""

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
