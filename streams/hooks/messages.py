"""What is posted of an event, and to which hooks."""

from __future__ import annotations

import json
from typing import Any

from schemas.as_json import time_text, to_json
from schemas.hooks import Hook, HookKind
from schemas.results import Enrolment
from schemas.sightings import Sighting

TEST_TYPE = "test"
"""The type of a message that ``facestream hooks test`` sends."""
HookedEvent = Sighting | Enrolment
"""What is posted."""


def kind_of(event: HookedEvent) -> HookKind | None:
    """What an event says; None: it is of a replay, and never posted."""
    if isinstance(event, Sighting):
        return HookKind(f"sighting.{event.state.value}")
    return None if event.replay_id is not None or event.corrects else HookKind(f"enrolment.{event.outcome.value}")


def message_id(event: HookedEvent) -> str:
    """The same whenever it is posted, by which a receiver knows what it has."""
    return event.change_id if isinstance(event, Sighting) else event.event_id


def wants(hook: Hook, event: HookedEvent) -> bool:
    """Whether an event is to be posted to a hook: it is of its user and kinds, and was decided since it is there."""
    return (
        hook.disabled_at is None
        and kind_of(event) in hook.kinds
        and hook.user_id in (None, event.user_id)
        and event.decided_at >= hook.created_at
    )


def body(event: HookedEvent) -> bytes:
    """The body, the same whenever it is posted."""
    return _body(str(kind_of(event)), time_text(event.decided_at), to_json(event))


def trial_body(hook: Hook, at: str) -> bytes:
    """The body of a message that only tries the hook; ``at`` is the time as text."""
    return _body(TEST_TYPE, at, {"hook_id": hook.hook_id})


def _body(kind: str, at: str, data: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "timestamp": at, "data": data}, ensure_ascii=False).encode()
