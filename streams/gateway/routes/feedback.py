"""Feedback: this face is somebody, or is not."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from schemas.access import Scope
from schemas.as_json import to_json
from schemas.clock import utc_now
from schemas.ids import canonical_event_id, checked_name
from sinks.pages import Json
from streams.feedback.errors import FeedbackRefused
from streams.feedback.lookup import answer_in
from streams.feedback.submit import submit_about
from streams.gateway.auth import Caller, Needs
from streams.gateway.bodies import json_fields
from streams.gateway.context import Context, context
from streams.gateway.fields import FeedbackFields
from streams.gateway.openapi import takes
from streams.gateway.problems import GatewayReason, Problem, json_answer
from streams.gateway.waiting import visible

router = APIRouter(tags=["feedback"])

Critic = Annotated[Caller, Depends(Needs(Scope.READ, Scope.UPLOAD))]
_LOOKED_BACK = timedelta(days=31)
_MEANING = "The feedback; `is_new` is false if the same was said before."


@router.post("/api/v1/feedback", **takes(FeedbackFields, 200, _MEANING, 404))
async def feedback(request: Request, caller: Critic) -> Response:
    """Confirm or correct who is on a frame of the last month; the last that is said of a face counts."""
    here = context(request)
    with here.requests.one(caller.key_id):
        fields = await json_fields(request, FeedbackFields)
        event_id, subject = canonical_event_id(fields.event_id), checked_name("subject_id", fields.subject_id)

        def say() -> Json:
            match = visible(_match(here, caller, event_id), caller)
            if match is None:
                detail = f"no match of the last {_LOOKED_BACK.days} days has this event id"
                raise Problem(404, GatewayReason.UNKNOWN_EVENT, detail)
            about = answer_in(match)
            said = submit_about(
                here.settings, about, fields.statement, subject, face=fields.face, training=fields.training
            )
            return to_json(said.feedback) | {"is_new": said.is_new}

        try:
            return json_answer(await here.slow.run(say))
        except FeedbackRefused as error:
            raise Problem(422, GatewayReason.INVALID_REQUEST, str(error)) from None


def _match(here: Context, caller: Caller, event_id: str) -> Json | None:
    """The current answer to a frame: from Redis, or from BigQuery if it is older."""
    if kept := here.client.results.answers([event_id]).get(event_id):
        return kept
    users = None if caller.all_users else sorted(caller.users)
    return here.history.match(event_id, users, utc_now() - _LOOKED_BACK)
