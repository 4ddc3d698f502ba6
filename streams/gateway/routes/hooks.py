"""Hooks: addresses to which sightings and enrolments are posted."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from schemas.access import Scope
from schemas.hooks import Hook
from streams.gateway.auth import Caller, Needs
from streams.gateway.bodies import json_fields
from streams.gateway.context import context
from streams.gateway.fields import HookFields
from streams.gateway.openapi import problems, takes
from streams.gateway.problems import GatewayReason, Problem, json_answer
from streams.gateway.submitting import idempotency_key
from streams.hooks.addresses import AddressRefused
from streams.hooks.listing import hook_json, kinds_of, listed
from streams.hooks.secrets import NoHookKey
from streams.hooks.store import HookNotMade, HookTaken, NoSuchHook, add_hook, find_hook, new_hook_id, remove_hook
from streams.hooks.trial import try_hook
from streams.settings import Settings

log = logging.getLogger(__name__)

router = APIRouter(tags=["hooks"])

Operator = Annotated[Caller, Depends(Needs(Scope.OPS, all_users=True))]
# A hook tells its address who was seen.
Maker = Annotated[Caller, Depends(Needs(Scope.OPS, Scope.READ, all_users=True))]
Json = dict[str, Any]


@router.get("/api/v1/hooks", **problems(200, "The hooks, the oldest first, and how much waits for each."))
async def hooks(request: Request, caller: Operator) -> Response:
    """List hooks; their secrets are not told again."""
    return await _answer(request, caller, lambda settings: {"hooks": [said for _, said in listed(settings)]})


@router.post(
    "/api/v1/hooks",
    **takes(
        HookFields,
        200,
        "The hook with its secret, which is told only now.",
        409,
        idempotency="The same key makes one hook, and the answer is the same.",
    ),
)
async def add(request: Request, caller: Maker) -> Response:
    """Make a hook: what is decided from then on is posted, signed with the secret."""
    fields = await json_fields(request, HookFields)
    if (fields.user_id is None) is not fields.all_users:
        raise Problem(422, GatewayReason.INVALID_REQUEST, "name either a user_id or all_users")
    key = idempotency_key(request)
    # Of the caller's key too: the answer holds a secret, which nobody else gets.
    hook_id = None if key is None else new_hook_id("idempotency-key", "hooks", caller.key_id, key)

    def make(settings: Settings) -> Json:
        try:
            secret, hook = add_hook(
                settings,
                fields.address,
                kinds_of(fields.events),
                user=fields.user_id,
                name=fields.name,
                hook_id=hook_id,
                created_by=f"the key fs_{caller.key_id}" if caller.key_id else None,
            )
        except HookTaken as error:
            raise Problem(409, GatewayReason.NOT_POSSIBLE, str(error)) from None
        except (AddressRefused, HookNotMade) as error:
            raise Problem(422, GatewayReason.INVALID_REQUEST, str(error)) from None
        return {"secret": secret.text} | hook_json(hook)

    return await _answer(request, caller, make)


@router.delete("/api/v1/hooks/{hook_id}", **problems(200, "The id of the hook that was removed.", 404))
async def remove(request: Request, hook_id: str, caller: Operator) -> Response:
    """Remove a hook; what waits for it is dropped."""

    def take(settings: Settings) -> Json:
        remove_hook(settings, hook := _whole(settings, hook_id))
        return {"hook_id": hook.hook_id}

    return await _answer(request, caller, take)


@router.post("/api/v1/hooks/{hook_id}/test", **problems(200, "Whether it was accepted, and the answer.", 404, 409))
async def test(request: Request, hook_id: str, caller: Operator) -> Response:
    """Post one signed message of the type `test` from this gateway."""

    def post(settings: Settings) -> Json:
        result = try_hook(settings, hook := _whole(settings, hook_id))
        return {"hook_id": hook.hook_id, "accepted": result.accepted, "answer": result.what}

    return await _answer(request, caller, post)


async def _answer(request: Request, caller: Caller, find: Callable[[Settings], Json]) -> Response:
    here = context(request)
    with here.requests.one(caller.key_id):
        try:
            return json_answer(await here.slow.run(lambda: find(here.settings)))
        except NoHookKey as error:
            log.warning("a hook cannot be signed by this gateway: %s", error)
            detail = "this gateway has no key that signs the hook: FACESTREAM_HOOK_KEY_FILE must be the workers' file"
            raise Problem(409, GatewayReason.NOT_POSSIBLE, detail) from None


def _whole(settings: Settings, hook_id: str) -> Hook:
    """The hook of this id; here its beginning does not do.

    Raises:
        Problem: there is none.
    """
    try:
        hook = find_hook(settings, hook_id)
    except NoSuchHook:
        hook = None
    if hook is None or hook.hook_id != hook_id:
        raise Problem(404, GatewayReason.UNKNOWN_HOOK, "there is no hook with this id")
    return hook
