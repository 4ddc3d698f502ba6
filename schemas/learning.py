"""Events about training: chips, feedback and scheduled trainings."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from schemas.ingest import Consent
from schemas.parts import Quality, Source


@dataclass(frozen=True, slots=True)
class Chip:
    """An aligned face that models may be trained on, as JPEG, on the topic ``chips``."""

    event_id: str
    user_id: str
    subject_id: str
    jpeg: bytes
    model_version: str
    quality: Quality
    consent: Consent
    source: Source
    uploaded_at: datetime


class Statement(StrEnum):
    """What feedback says about a face."""

    IS = "is"
    IS_NOT = "is_not"


@dataclass(frozen=True, slots=True)
class Feedback:
    """Feedback about one face of a match, on the topic ``feedback``."""

    feedback_id: str
    event_id: str
    user_id: str
    face: int
    statement: Statement
    subject_id: str
    training: bool
    decision: str
    model_version: str
    landmarks: list[float]
    quality: Quality
    source: Source
    given_at: datetime
    matched_subject_id: str | None = None
    replaces: str | None = None


class RunState(StrEnum):
    """The state of a scheduled training."""

    WAITING = "waiting"
    SKIPPED = "skipped"
    RUNNING = "running"
    FINISHED = "finished"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class RunCondition:
    """One condition of a scheduled training, with the value that was found."""

    name: str
    wanted: float
    found: float
    met: bool


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """A scheduled training and its state, on the topic ``runs``."""

    run_id: str
    state: RunState
    reason: str
    due_at: datetime
    conditions: list[RunCondition]
    until: list[Source]
    people: int
    faces: int
    claim_id: str
    attempt: int
    worker: str
    host: str
    heartbeat_at: datetime
    claimed_at: datetime
    token: int | None = None
    takes_over: int | None = None
    ended_at: datetime | None = None
    step: int = 0
    steps: int = 0
    version: str | None = None
    refusals: list[str] = field(default_factory=list)
