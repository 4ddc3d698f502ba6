"""Replays and what became of dead letters; :mod:`schemas.events` has them too."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ReplayState(StrEnum):
    """How a replay stands."""

    RUNNING = "running"
    STOPPED = "stopped"
    FINISHED = "finished"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """What is replayed of one partition, from first until before end; what is before next has been delivered."""

    partition: int
    first_offset: int
    next_offset: int
    end_offset: int


@dataclass(frozen=True, slots=True)
class Replay:
    """A replay of a topic and how far it is, on the topic ``replays``."""

    replay_id: str
    topic: str
    state: ReplayState
    corrects: bool
    from_time: datetime
    to_time: datetime
    users: list[str]
    event_ids: list[str]
    ranges: list[OffsetRange]
    planned: int
    sent: int
    seconds: float
    host: str
    started_at: datetime
    updated_at: datetime
    camera_id: str | None = None
    model_version: str | None = None


class ResolutionState(StrEnum):
    """Whether the message of a dead letter is about to go back, or has."""

    SENDING = "sending"
    SENT = "sent"


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
