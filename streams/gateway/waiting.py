"""Waits for answers, as long as whoever asks wants to."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from typing import Any

from starlette.requests import Request

from schemas.as_json import to_json
from schemas.ids import canonical
from streams.client.answers import Answer
from streams.client.errors import DeadLettered, ResultsUnavailable
from streams.gateway.auth import Caller
from streams.gateway.context import Context
from streams.gateway.problems import GatewayReason, Problem

MOST_S = 30.0
"""Longest wait; one that is longer is cut to it."""
_TIME = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)(ms|s)?")
_PREFERENCE = re.compile(r"(?:^|,)\s*wait\s*=\s*\"?(\d{1,6})\"?\s*(?:,|;|$)", re.IGNORECASE)

Json = dict[str, Any]


def wanted_wait(request: Request, default: float = 0.0) -> float:
    """The seconds that the caller wants to wait: ``?wait=2s``, or the header ``Prefer: wait=2`` of RFC 7240.

    Raises:
        Problem: that is no time.
    """
    text = request.query_params.get("wait")
    if text is not None:
        found = _TIME.fullmatch(text)
        if found is None:
            raise Problem(422, GatewayReason.INVALID_REQUEST, "wait must be a time such as 2s or 500ms")
        return min(MOST_S, float(found[1]) / (1000 if found[2] == "ms" else 1))
    preferred = _PREFERENCE.search(request.headers.get("prefer", ""))
    return default if preferred is None else min(MOST_S, float(preferred[1]))


async def answer_within(event_id: str, seconds: float, caller: Caller, here: Context) -> Json | None:
    """The answer to an event once it is there; None if it does not come in time, or is not for the caller.

    It comes to an end when the gateway drains.

    Raises:
        DeadLettered: the event could not be processed.
    """
    answer = asyncio.wrap_future(here.client.answer_future(event_id))
    drained = asyncio.ensure_future(here.draining.wait())
    try:
        both: list[asyncio.Future[Any]] = [answer, drained]
        await asyncio.wait(both, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            return None
        with suppress(ResultsUnavailable):  # the event is in Kafka all the same
            return visible(_plain(answer), caller)
        return None
    finally:
        answer.cancel()
        drained.cancel()


def visible(event: Json | None, caller: Caller) -> Json | None:
    """The answer, if the caller may see it; None otherwise, as if there were none."""
    if event is None or not caller.may_see(canonical(str(event.get("user_id"))), event.get("mode")):
        return None
    return event


def _plain(answer: asyncio.Future[Answer]) -> Json | None:
    return to_json(answer.result())


def check_letter(error: DeadLettered, caller: Caller) -> DeadLettered | None:
    """The error, if the event was of a user whom the caller reaches; otherwise he does not learn of it."""
    key = (error.letter.key or b"").decode("utf-8", "replace")
    return error if caller.reaches(canonical(key)) else None
