"""Puts photos and frames on Kafka, and says so once the brokers have them."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
from collections.abc import Callable
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from schemas.codec import stable_id
from schemas.ids import canonical_event_id, new_event_id
from schemas.ingest import Frame, Upload
from streams.client.delivery_report import DeliveryHandle
from streams.client.errors import BackPressure, DeadLettered, DeliveryFailed
from streams.gateway.auth import Caller
from streams.gateway.context import Context
from streams.gateway.problems import GatewayReason, Problem, later
from streams.gateway.waiting import answer_within, check_letter

log = logging.getLogger(__name__)

ROOM_S = 2.0
"""How long a request waits for room in the producer's queue."""
ACKNOWLEDGE_S = 20.0
"""How long it waits for Kafka."""
_KEY_LENGTH = 255


def idempotency_key(request: Request) -> str | None:
    """The header ``Idempotency-Key``; None if there is none.

    Raises:
        Problem: it is empty or too long.
    """
    header = request.headers.get("idempotency-key")
    if header is None:
        return None
    key = header.strip().strip('"')
    if not 0 < len(key) <= _KEY_LENGTH:
        detail = f"an Idempotency-Key has 1 to {_KEY_LENGTH} characters"
        raise Problem(422, GatewayReason.INVALID_REQUEST, detail)
    return key


def event_id_of(request: Request, user_id: str, given: str | None) -> str:
    """The event id: the caller's own, or made of the header ``Idempotency-Key``, the route and the user, or a new one.

    Raises:
        Problem: there are two, or see :func:`idempotency_key`.
        InvalidId: the caller's own is no UUID.
    """
    key = idempotency_key(request)
    if key is None:
        return new_event_id() if given is None else canonical_event_id(given)
    if given is not None:
        raise Problem(422, GatewayReason.INVALID_REQUEST, "give either event_id or an Idempotency-Key")
    return stable_id("idempotency-key", request.scope["route"].path, user_id, key)


async def delivered(here: Context, send: Callable[[float], DeliveryHandle]) -> DeliveryHandle:
    """Send an event and wait until Kafka has it.

    Args:
        here: the gateway.
        send: hands the event over, waiting for room as many seconds as it is told.

    Raises:
        Problem: Kafka has not confirmed it in time; it may have it all the same.
        BackPressure, DeliveryFailed, InvalidEvent, KafkaUnavailable: it has not.
    """
    try:
        handle = send(0.0)
    except BackPressure:
        handle = await asyncio.to_thread(send, ROOM_S)
    except DeliveryFailed:
        # The producer cannot go on, ever. Whoever runs the gateway starts it again, with a new one.
        log.exception("the gateway ends, to begin anew")
        signal.raise_signal(signal.SIGTERM)
        raise
    try:
        async with asyncio.timeout(ACKNOWLEDGE_S):
            await handle
    except TimeoutError:
        detail = (
            f"Kafka has not confirmed event {handle.event_id} in {ACKNOWLEDGE_S:g} s: send it again with the same id"
        )
        raise later(GatewayReason.KAFKA_UNAVAILABLE, detail, 5) from None
    return handle


async def submit(here: Context, caller: Caller, event: Upload | Frame, wait_s: float, *, own_id: bool) -> Response:
    """Send an event, and answer 202 once Kafka has it; or 200 with the answer, if that comes within the wait.

    Args:
        here: the gateway.
        caller: who sends it.
        event: the event.
        wait_s: how long to wait for the answer.
        own_id: whether the caller has chosen the event id, which then must not be that of another user's event.

    Raises:
        Problem, FacestreamError: see :func:`delivered`, :meth:`streams.gateway.claims.EventClaims.claim` and
            :func:`streams.gateway.waiting.answer_within`.
    """
    if own_id:
        await here.claims.claim(event.event_id, event.user_id)
    handle = await delivered(here, lambda room_s: here.client.send(event, timeout_s=room_s))
    location = f"/api/v1/events/{quote(handle.event_id)}"
    headers = {"Location": location}
    if wait_s > 0:
        headers["Preference-Applied"] = f"wait={wait_s:g}"
        try:
            answer = await answer_within(handle.event_id, wait_s, caller, here)
        except DeadLettered as error:
            if found := check_letter(error, caller):
                raise found from None
            answer = None
        if answer is not None and answer["user_id"] == handle.user_id:
            return Response(json.dumps(answer, ensure_ascii=False), 200, headers, "application/json")
    body = {"event_id": handle.event_id, "user_id": handle.user_id, "status": "accepted", "location": location}
    return Response(json.dumps(body, ensure_ascii=False), 202, headers, "application/json")
