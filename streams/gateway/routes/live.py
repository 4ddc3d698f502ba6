"""A user's answers as they come: server-sent events, which a browser or a program reads again from where it was."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import StreamingResponse

from schemas.access import Scope
from sinks.redis.errors import ResultsUnavailable
from streams.api_keys.watcher import KeysUnknown
from streams.gateway.auth import NOBODY, Caller, Needs, identify
from streams.gateway.context import Context, context
from streams.gateway.openapi import problems
from streams.gateway.problems import GatewayReason, Problem
from streams.gateway.waiting import visible

router = APIRouter(tags=["answers"])

Reader = Annotated[Caller, Depends(Needs(Scope.READ))]
_ENTRY_ID = re.compile(r"\d{1,18}(-\d{1,18})?")
_KEEP_ALIVE_S = 15.0


@router.get("/api/v1/users/{user_id}/live", **problems(200, "Server-sent events, without an end.", 429))
async def live(request: Request, user_id: str, caller: Reader) -> StreamingResponse:
    """Follow a user's answers: new ones, or with `Last-Event-ID` those after it that are still kept."""
    here, user = context(request), caller.user(user_id)
    after = request.headers.get("last-event-id", "").strip()
    if after and not _ENTRY_ID.fullmatch(after):
        raise Problem(422, GatewayReason.INVALID_REQUEST, "Last-Event-ID must be the id of an event")
    complete = not after or await here.live.keeps_all_after(user, after)
    after = after or await here.live.last_id(user)
    with here.readers.one(caller.key_id):
        pass  # there is room for one more

    async def body() -> AsyncIterator[bytes]:
        with here.readers.one(caller.key_id):
            # The first bytes tell the reader that he follows now, and the id from where he may go on.
            yield f"id: {after}\nevent: {'begin' if complete else 'gap'}\ndata: {{}}\n\n".encode()
            async for part in _events(request, here, user, caller, after):
                yield part

    return StreamingResponse(body(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


async def _events(request: Request, here: Context, user: str, caller: Caller, after: str) -> AsyncIterator[bytes]:
    """The events, until the gateway drains, the key counts no more, or Redis does not answer."""
    said = time.monotonic()
    with suppress(ResultsUnavailable):
        async for entry in here.live.follow(user, after):
            if here.draining.is_set() or not _still(request, caller):
                return
            if entry is not None and visible(entry.event, caller) is not None:
                said = time.monotonic()
                text = json.dumps(entry.event, ensure_ascii=False)
                yield f"id: {entry.entry_id}\nevent: {entry.kind}\ndata: {text}\n\n".encode()
            elif time.monotonic() - said > _KEEP_ALIVE_S:
                said = time.monotonic()
                yield b": nothing new\n\n"


def _still(request: Request, caller: Caller) -> bool:
    """Whether the caller's key still counts."""
    try:
        now = identify(request)
    except (Problem, KeysUnknown):
        return False
    return now is not NOBODY and now.scopes == caller.scopes
