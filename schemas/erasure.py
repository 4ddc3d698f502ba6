"""The event of the topic ``erasures``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Erasure:
    """A request to erase a user or subject (``stage`` is None), or a role's report of it, on the topic ``erasures``."""

    erasure_id: str
    user_id: str
    requested_at: datetime
    subject_id: str | None = None
    stage: str | None = None
    removed: Mapping[str, int] = field(default_factory=dict)
    in_searches: bool = False
