"""What a tracker sees: the faces of one frame, and when it was taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from schemas.parts import Box


@dataclass(frozen=True, slots=True)
class Observation:
    """One face of a frame.

    Attributes:
        face: its number in the match, from 0.
        box: where it is, in pixels.
        weight: of its vote, 0 to 1.
        vector: little-endian float32 values; None: it was refused, or is not known.
        votes: whether it was compared with the gallery, so that it says who the person is, or that nobody is known.
        subject_id: the subject it matched, or None.
        similarity: to that subject, or None.
    """

    face: int
    box: Box
    weight: float
    vector: bytes | None = None
    votes: bool = False
    subject_id: str | None = None
    similarity: float | None = None


@dataclass(frozen=True, slots=True)
class SamePerson:
    """Euclidean distances below which two vectors show one person: anywhere, or where the boxes overlap too."""

    anywhere: float
    overlapping: float


@dataclass(frozen=True, slots=True)
class ObservedFrame:
    """One frame of a camera.

    Attributes:
        event_id: of the frame.
        at: when it was taken, but never later than it arrived.
        source_offset: of its message on ``frames``.
        produced_at: the broker's time stamp of that message.
        decided_at: when it was answered.
        model_version: the version that made the vectors.
        faces: those found.
        same_person: Euclidean distances below which two vectors of the version show one person; None: not known.
    """

    event_id: str
    at: datetime
    source_offset: int
    produced_at: datetime
    decided_at: datetime
    model_version: str
    faces: Sequence[Observation]
    same_person: SamePerson | None
