"""The event of the topic ``erasures``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ErasedPhoto:
    """A photo of a subject, by the uploads of it that are known."""

    event_ids: list[str]
    sha256: list[str] = field(default_factory=list)
    templates_left: int | None = None


@dataclass(frozen=True, slots=True)
class Erasure:
    """A request to erase a user, a subject or a photo (``stage`` is None), or a role's report, on ``erasures``."""

    erasure_id: str
    user_id: str
    requested_at: datetime
    subject_id: str | None = None
    stage: str | None = None
    removed: Mapping[str, int] = field(default_factory=dict)
    in_searches: bool = False
    photo: ErasedPhoto | None = None
