"""The event of the topic ``replays``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ReplayState(StrEnum):
    """The state of a replay."""

    RUNNING = "running"
    STOPPED = "stopped"
    FINISHED = "finished"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """The offsets of one partition that are replayed: from first until before end. Those before next are delivered."""

    partition: int
    first_offset: int
    next_offset: int
    end_offset: int


@dataclass(frozen=True, slots=True)
class Replay:
    """A replay of a topic and its progress, on the topic ``replays``."""

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
