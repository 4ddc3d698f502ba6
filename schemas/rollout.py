"""Events of a model rollout."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from schemas.parts import Decision


class ModelState(StrEnum):
    """The state of a model version."""

    CANDIDATE = "candidate"
    SHADOW = "shadow"
    CANARY = "canary"
    PRODUCTION = "production"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True, order=True)
class GivenUpSubject:
    """A subject whose only templates were of a retired version: a new enrolment photo is needed."""

    user_id: str
    subject_id: str


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A model version and its state, on the topic ``models``; ``card`` is its model card as JSON."""

    version: str
    state: ModelState
    card: str
    changed_at: datetime
    changed_by: str
    percent: float = 0.0
    filled: bool = False
    stragglers: list[str] = field(default_factory=list)
    reason: str = ""
    given_up: list[GivenUpSubject] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ComparedFace:
    """One face: the answer, and what another version would have answered. A margin is 0 at the threshold, 1 at most."""

    decision: Decision
    shadow_decision: Decision
    subject_id: str | None = None
    margin: float | None = None
    shadow_subject_id: str | None = None
    shadow_margin: float | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a shadow or canary version would have answered to a frame, on the topic ``comparisons``."""

    comparison_id: str
    event_id: str
    user_id: str
    camera_id: str
    captured_at: datetime
    model_version: str
    shadow_version: str
    faces: list[ComparedFace]
    agrees: bool
    compared_at: datetime
