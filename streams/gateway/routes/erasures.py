"""Erasing a photo, a subject or a user, with the receipt."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from schemas.access import Scope
from schemas.as_json import time_text
from schemas.ids import canonical_event_id, checked_name
from schemas.receipts import Receipt
from streams.gateway.auth import Caller, Needs
from streams.gateway.context import context
from streams.gateway.openapi import problems
from streams.gateway.problems import json_answer
from streams.gateway.waiting import wanted_wait
from streams.operations.erase import erase

router = APIRouter(tags=["erasure"])

Eraser = Annotated[Caller, Depends(Needs(Scope.ERASE))]
_MOST_S = 15.0
"""Longest wait for the roles, so that a gateway that is to end has done it in time; they go on without it."""
_DONE = "The receipt: every role has erased it."


@router.delete("/api/v1/users/{user_id}/subjects/{subject_id}", **problems(200, _DONE, 202, wait=True))
async def subject(request: Request, user_id: str, subject_id: str, caller: Eraser) -> Response:
    """Erase a subject: templates, training faces, results and rows. Safe to repeat."""
    return await _erase(request, caller, caller.user(user_id), checked_name("subject_id", subject_id))


@router.delete(
    "/api/v1/users/{user_id}/subjects/{subject_id}/photos/{event_id}", **problems(200, _DONE, 202, wait=True)
)
async def photo(request: Request, user_id: str, subject_id: str, event_id: str, caller: Eraser) -> Response:
    """Erase one photo of a subject, by the event id of its upload. Safe to repeat."""
    user, subject = caller.user(user_id), checked_name("subject_id", subject_id)
    return await _erase(request, caller, user, subject, canonical_event_id(event_id))


@router.delete("/api/v1/users/{user_id}", **problems(200, _DONE, 202, wait=True))
async def user(request: Request, user_id: str, caller: Eraser) -> Response:
    """Erase a user with all subjects. Safe to repeat."""
    return await _erase(request, caller, caller.user(user_id), None)


async def _erase(
    request: Request, caller: Caller, user_id: str, subject_id: str | None, photo: str | None = None
) -> Response:
    here, wait_s = context(request), min(_MOST_S, wanted_wait(request, _MOST_S))
    with here.requests.one(caller.key_id):
        receipt = await here.slow.run(partial(erase, here.settings, user_id, subject_id, photo=photo, timeout_s=wait_s))
    status = 202 if receipt.completed_at is None else 200
    return json_answer(_plain(receipt), status)


def _plain(receipt: Receipt) -> dict[str, Any]:
    """As JSON: times as texts."""
    values = asdict(receipt) | {"logs_until": {name: time_text(at) for name, at in receipt.logs_until.items()}}
    return {name: time_text(value) if isinstance(value, datetime) else value for name, value in values.items()}
