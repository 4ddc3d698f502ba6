"""Events about dead letters."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Header:
    """One Kafka header."""

    name: str
    value: bytes | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that could not be processed, unchanged, on the topic ``dead-letters``."""

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


class ResolutionState(StrEnum):
    """Whether the message of a dead letter is about to be sent back, or has been, or never will be."""

    SENDING = "sending"
    SENT = "sent"
    DISMISSED = "dismissed"


@dataclass(frozen=True, slots=True)
class Resolution:
    """What became of a dead letter, on the topic ``resolutions``."""

    resolution_id: str
    letter_id: str
    replay_id: str
    state: ResolutionState
    topic: str
    resolved_at: datetime
    retries: str | None = None
    partition: int | None = None
    offset: int | None = None
    because: str | None = None
