"""Events that applications and cameras send: uploads and frames."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from schemas.parts import Source


class Mode(StrEnum):
    """The question about each face in a frame."""

    IDENTIFY = "identify"
    VERIFY = "verify"
    SEARCH = "search"


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
