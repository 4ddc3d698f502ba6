"""Answers to events, and who is enrolled: what can be read."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from schemas.access import Scope
from schemas.ids import canonical_event_id
from streams.client.errors import DeadLettered
from streams.gateway.auth import Caller, Needs
from streams.gateway.context import context
from streams.gateway.openapi import problems
from streams.gateway.problems import GatewayReason, Problem, json_answer
from streams.gateway.waiting import answer_within, check_letter, visible, wanted_wait

router = APIRouter(tags=["answers"])

Reader = Annotated[Caller, Depends(Needs(Scope.READ))]


@router.get("/api/v1/events/{event_id}", **problems(200, "The answer, as Redis has it.", 404, wait=True))
async def event(request: Request, event_id: str, caller: Reader) -> Response:
    """Read the answer to a photo or frame."""
    here, wait_s, wanted = context(request), wanted_wait(request), canonical_event_id(event_id)
    if wait_s > 0:
        with here.requests.one(caller.key_id):
            try:
                answer = await answer_within(wanted, wait_s, caller, here)
            except DeadLettered as error:
                if found := check_letter(error, caller):
                    raise found from None
                answer = None
    else:
        answer = visible((await asyncio.to_thread(here.client.results.answers, [wanted])).get(wanted), caller)
    if answer is None:
        raise Problem(
            404, GatewayReason.UNKNOWN_EVENT, "there is no answer to this event: not yet, no longer, or never"
        )
    return json_answer(answer)


@router.get("/api/v1/users/{user_id}/subjects", **problems(200, "Subjects by name, and the cursor of the next page."))
async def subjects(
    request: Request,
    user_id: str,
    caller: Reader,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most subjects of one page.")] = 100,
    after: Annotated[str, Query(max_length=256, description="The cursor: the page begins after this name.")] = "",
) -> Response:
    """List a user's subjects and how many templates each has."""
    here, user = context(request), caller.user(user_id)
    there = sorted((await asyncio.to_thread(here.client.results.subjects, user)).items())
    page = [one for one in there if one[0] > after][: limit + 1]
    more = len(page) > limit
    listed = [{"subject_id": name, "templates": templates} for name, templates in page[:limit]]
    return json_answer({"user_id": user, "subjects": listed, "next": listed[-1]["subject_id"] if more else None})
