"""Events of sightings: a person before a camera, from one time to another."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from schemas.parts import Box


class SightingState(StrEnum):
    """What a message says of its sighting."""

    BEGIN = "begin"
    UPDATE = "update"
    END = "end"


@dataclass(frozen=True, slots=True)
class Sighting:
    """One person before one camera, from a time to another, on the topic ``sightings``; each message has all of it."""

    change_id: str
    sighting_id: str
    user_id: str
    camera_id: str
    state: SightingState
    number: int
    first_seen_at: datetime
    last_seen_at: datetime
    frames: int
    share: float
    first_event_id: str
    best_event_id: str
    best_face: int
    best_box: Box
    model_version: str
    first_produced_at: datetime
    decided_at: datetime
    subject_id: str | None = None
    stranger_id: str | None = None
    similarity: float | None = None


@dataclass(frozen=True, slots=True)
class Vote:
    """What the faces of a track say: how much weight speaks for a subject, or (None) for nobody who is known."""

    weight: float
    subject_id: str | None = None
    similarity: float | None = None


@dataclass(frozen=True, slots=True)
class View:
    """One face of a track, for comparison with others; ``vector`` is little-endian float32."""

    weight: float
    vector: bytes


@dataclass(frozen=True, slots=True)
class Track:
    """A sighting that has not ended; with ``number`` 0 it has not been told of either."""

    sighting_id: str
    first_seen_at: datetime
    last_seen_at: datetime
    told_at: datetime
    first_produced_at: datetime
    first_event_id: str
    number: int
    frames: int
    box: Box
    best_weight: float
    best_event_id: str
    best_face: int
    best_box: Box
    model_version: str
    votes: list[Vote] = field(default_factory=list)
    views: list[View] = field(default_factory=list)
    told_subject_id: str | None = None
    stranger_id: str | None = None


@dataclass(frozen=True, slots=True)
class Stranger:
    """Somebody unknown whom a camera has seen, to be called the same when seen again."""

    stranger_id: str
    last_seen_at: datetime
    model_version: str
    views: list[View]


@dataclass(frozen=True, slots=True)
class OpenSightings:
    """What a worker knows of one camera, on the topic ``open-sightings``: all frames up to an offset are in it."""

    user_id: str
    camera_id: str
    next_offset: int
    seen_at: datetime
    clock_at: datetime
    source_offset: int
    produced_at: datetime
    late: int = 0
    recent: list[str] = field(default_factory=list)
    tracks: list[Track] = field(default_factory=list)
    strangers: list[Stranger] = field(default_factory=list)
