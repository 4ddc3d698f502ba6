"""Answers: matches and enrolments."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from schemas.ingest import Mode
from schemas.parts import Box, Decision, Quality, Refusal, Source, Timings


class Outcome(StrEnum):
    """The outcome of an upload."""

    ENROLLED = "enrolled"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A subject that a face was compared with, and their similarity."""

    subject_id: str
    similarity: float
    distance: float
    fmr: float
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class MatchedFace:
    """One face of a frame, with its decision."""

    box: Box
    landmarks: list[float]
    quality: Quality
    decision: Decision
    subject_id: str | None = None
    reason: str | None = None
    candidates: list[Candidate] = field(default_factory=list)
    ambiguous: bool = False
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class SearchCoverage:
    """What a search over all users covers: the shards that answered, of how many, and their templates."""

    shards: int
    answered: list[int]
    templates: int
    asked_at: datetime


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
    search: SearchCoverage | None = None
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
