"""Photos and frames: what comes in."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from schemas.access import Scope
from schemas.clock import utc_now
from schemas.ids import checked_name
from schemas.ingest import Consent, Frame, Mode, Upload
from schemas.reasons import Reason
from streams.client.errors import InvalidEvent
from streams.client.validation import checked_picture
from streams.gateway.auth import Caller, Needs
from streams.gateway.bodies import Submission, submission
from streams.gateway.context import Context, context
from streams.gateway.fields import FrameFields, IdentifyFields, PhotoFields, VerifyFields
from streams.gateway.openapi import accepts
from streams.gateway.problems import Problem
from streams.gateway.submitting import event_id_of, submit
from streams.gateway.waiting import wanted_wait

ANSWER_S = 10.0
"""How long ``identify`` and ``verify`` wait unless they are told otherwise."""
_USERS = "/api/v1/users/{user_id}"

router = APIRouter(tags=["pictures"])

Uploader = Annotated[Caller, Depends(Needs(Scope.UPLOAD))]
Camera = Annotated[Caller, Depends(Needs(Scope.FRAME))]
Asker = Annotated[Caller, Depends(Needs(Scope.FRAME, Scope.READ))]


@router.post(f"{_USERS}/subjects/{{subject_id}}/photos", **accepts(PhotoFields, "Enrolment"))
async def photos(request: Request, user_id: str, subject_id: str, caller: Uploader) -> Response:
    """Enrol a person with a photo."""
    here, user, wait_s = context(request), caller.user(user_id), _wait(request, caller)
    with here.requests.one(caller.key_id):
        async with submission(request, PhotoFields) as submitted:
            fields, now = submitted.fields, utc_now()
            if not fields.purpose.strip():
                raise Problem(422, Reason.NO_CONSENT, "purpose must say what the person has agreed to")
            upload = Upload(
                event_id=event_id_of(request, user, fields.event_id),
                user_id=user,
                subject_id=checked_name("subject_id", subject_id),
                created_at=now,
                picture=checked_picture(
                    submitted.picture, fields.sha256, here.settings, with_digest=True, check_format=True
                ),
                consent=Consent(fields.purpose, fields.granted_at or now, fields.expires_at, fields.training),
            )
            return await submit(here, caller, upload, wait_s, own_id=fields.event_id is not None)


@router.post(f"{_USERS}/frames", **accepts(FrameFields, "Match"))
async def frames(request: Request, user_id: str, caller: Camera) -> Response:
    """Ask who is in a picture of a camera."""
    here, user, wait_s = context(request), caller.user(user_id), _wait(request, caller)
    with here.requests.one(caller.key_id):
        async with submission(request, FrameFields) as submitted:
            fields = submitted.fields
            if fields.mode is Mode.SEARCH:
                caller.require(Scope.SEARCH)
            frame = _frame(request, user, submitted, here, fields.mode, fields.subject_id, fields.sequence)
            return await submit(here, caller, frame, wait_s, own_id=fields.event_id is not None)


@router.post(f"{_USERS}/identify", **accepts(IdentifyFields, "Match"))
async def identify(request: Request, user_id: str, caller: Asker) -> Response:
    """Ask who is in a picture, and wait for the answer."""
    here, user, wait_s = context(request), caller.user(user_id), wanted_wait(request, ANSWER_S)
    with here.requests.one(caller.key_id):
        async with submission(request, IdentifyFields) as submitted:
            frame = _frame(request, user, submitted, here, Mode.IDENTIFY)
            own_id = submitted.fields.event_id is not None
            return await submit(here, caller, frame, wait_s, own_id=own_id)


@router.post(f"{_USERS}/verify", **accepts(VerifyFields, "Match"))
async def verify(request: Request, user_id: str, caller: Asker) -> Response:
    """Ask whether a picture shows a person, and wait for the answer."""
    here, user, wait_s = context(request), caller.user(user_id), wanted_wait(request, ANSWER_S)
    with here.requests.one(caller.key_id):
        async with submission(request, VerifyFields) as submitted:
            frame = _frame(request, user, submitted, here, Mode.VERIFY, submitted.fields.subject_id)
            own_id = submitted.fields.event_id is not None
            return await submit(here, caller, frame, wait_s, own_id=own_id)


def _wait(request: Request, caller: Caller) -> float:
    """The wait, for which the caller must be allowed to read answers."""
    wait_s = wanted_wait(request)
    if wait_s > 0:
        caller.require(Scope.READ)
    return wait_s


def _frame(
    request: Request,
    user_id: str,
    submitted: Submission[FrameFields] | Submission[IdentifyFields] | Submission[VerifyFields],
    here: Context,
    mode: Mode,
    subject_id: str | None = None,
    sequence: int | None = None,
) -> Frame:
    fields = submitted.fields
    if subject_id is not None and mode is not Mode.VERIFY:
        raise InvalidEvent("subject_id is the person claimed: it goes with the mode verify")
    return Frame(
        event_id=event_id_of(request, user_id, fields.event_id),
        user_id=user_id,
        camera_id=fields.camera_id,
        # Several gateways share no counter, so it is the time that counts up.
        sequence=time.time_ns() // 1_000_000 if sequence is None else sequence,
        captured_at=fields.captured_at or utc_now(),
        picture=checked_picture(submitted.picture, fields.sha256, here.settings, with_digest=False, check_format=True),
        mode=mode,
        subject_id=subject_id,
    )
