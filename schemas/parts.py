"""Records that several kinds of events contain."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Source:
    """The Kafka message that an event came from."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Box:
    """Where a face is: left, top, width and height in pixels."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Quality:
    """How good a probe or template a face makes."""

    score: float
    size: float
    sharpness: float
    brightness: float
    yaw: float
    overall: float
    blockiness: float | None = None
    covered: float | None = None
    covered_part: str | None = None


UNMEASURED = Quality(score=0.0, size=0.0, sharpness=0.0, brightness=0.0, yaw=0.0, overall=0.0)
"""The quality of an imported template of which only the vector is known; no face has the size 0."""


class Decision(StrEnum):
    """What was decided about one face."""

    MATCH = "match"
    UNKNOWN = "unknown"
    NO_MATCH = "no_match"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a picture was refused: a stable word for programs, and a sentence for people."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Timings:
    """How long the steps took: time stamps, and durations in milliseconds."""

    produced_at: datetime
    received_at: datetime
    embedded_at: datetime
    decode_ms: float = 0.0
    detect_ms: float = 0.0
    align_ms: float = 0.0
    embed_ms: float = 0.0
