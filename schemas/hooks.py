"""The events of the topics ``hooks`` and ``hook-deliveries``: where events are posted, and what waits for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class HookKind(StrEnum):
    """What an event that is posted says."""

    SIGHTING_BEGIN = "sighting.begin"
    SIGHTING_UPDATE = "sighting.update"
    SIGHTING_END = "sighting.end"
    ENROLMENT_ENROLLED = "enrolment.enrolled"
    ENROLMENT_REFUSED = "enrolment.refused"


USUAL_EVENTS = ("sighting.begin", "sighting.end", "enrolment")
"""What a hook gets unless it is told otherwise; the last stands for both kinds."""


@dataclass(frozen=True, slots=True)
class Hook:
    """An address to which events are posted, on the topic ``hooks``."""

    hook_id: str
    address: str
    kinds: list[str]
    secret_sha256: bytes
    created_at: datetime
    created_by: str
    user_id: str | None = None
    name: str = ""
    disabled_at: datetime | None = None
    disabled_because: str | None = None


@dataclass(frozen=True, slots=True)
class HookDelivery:
    """An event that is still to be posted, on the topic ``hook-deliveries``; ``event`` is as on its own topic."""

    hook_id: str
    message_id: str
    user_id: str
    queued_at: datetime
    event: bytes
