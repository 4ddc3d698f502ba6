"""What those who run facestream do: a step of a model's rollout, and sending dead letters back."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from models.embedder.card import Card, UnusableModel
from models.embedder.registry_snapshot import RegistrySnapshot
from schemas.access import Scope
from schemas.clock import utc_now
from schemas.rollout import ModelRecord
from streams.dead_letters.errors import DeadLetterError
from streams.dead_letters.redrive import Redrive, RedriveFilter, select
from streams.gateway.auth import Caller, Needs
from streams.gateway.bodies import json_fields
from streams.gateway.context import Context, context
from streams.gateway.fields import RedriveFields, StepFields
from streams.gateway.openapi import takes
from streams.gateway.problems import GatewayReason, Problem, json_answer
from streams.model_registry import records, transitions
from streams.model_registry.errors import RolloutError
from streams.replay.store import new_replay_id

router = APIRouter(tags=["operations"])

Operator = Annotated[Caller, Depends(Needs(Scope.OPS, all_users=True))]
_PER_S = 100.0
"""Dead letters that are sent back a second, so that workers keep up."""
Json = dict[str, Any]


class Step(StrEnum):
    """A step that needs nothing but the record of it."""

    SHADOW = "shadow"
    CANARY = "canary"
    PROMOTE = "promote"
    ROLLBACK = "rollback"


@router.post("/api/v1/models/{version}/{step}", **takes(StepFields, 200, "The version and its state now.", 404, 409))
async def step(request: Request, version: str, step: Step, caller: Operator) -> Response:
    """Take a step of a rollout, or back; templates are made by `facestream models fill`."""
    here = context(request)
    with here.requests.one(caller.key_id):
        fields = await json_fields(request, StepFields)
        if (fields.percent is None) == (step is Step.CANARY):
            raise Problem(422, GatewayReason.INVALID_REQUEST, "percent goes with the step canary, and it needs it")
        by = f"{fields.reason} (by the key fs_{caller.key_id})".strip() if caller.key_id else fields.reason

        def take() -> Json:
            try:
                card = records.find_card(version, here.settings)
            except UnusableModel as error:
                raise Problem(404, GatewayReason.UNKNOWN_VERSION, str(error)) from None
            try:
                record = records.apply(here.settings, lambda registry: _record(registry, card, step, fields, by))
            except RolloutError as error:
                raise Problem(409, GatewayReason.NOT_POSSIBLE, str(error)) from None
            return {"version": record.version, "state": record.state.value, "percent": record.percent}

        return json_answer(await here.slow.run(take))


def _record(registry: RegistrySnapshot, card: Card, step: Step, fields: StepFields, reason: str) -> ModelRecord:
    match step:
        case Step.SHADOW:
            return transitions.shadow(registry, card, force=fields.force, reason=reason)
        case Step.CANARY:
            return transitions.canary(registry, card, fields.percent or 0.0, force=fields.force, reason=reason)
        case Step.PROMOTE:
            return transitions.promote(registry, card, force=fields.force, reason=reason)
        case Step.ROLLBACK:
            return transitions.rollback(registry, version=card.version, reason=reason)


@router.post(
    "/api/v1/dead-letters/redrive", **takes(RedriveFields, 200, "The run, and how many were sent back and are left.")
)
async def redrive(request: Request, caller: Operator) -> Response:
    """Send the messages of open dead letters back to their topics, each at most once; repeat it for what is left."""
    here = context(request)
    with here.requests.one(caller.key_id):
        fields = await json_fields(request, RedriveFields)
        return json_answer(await here.slow.run(lambda: _redrive(here, fields)))


def _redrive(here: Context, fields: RedriveFields) -> Json:
    wanted = RedriveFilter(fields.reasons, fields.stage, [one.lower() for one in fields.letter_ids], fields.retry)
    try:
        selection = select(here.settings, wanted)
    except DeadLetterError as error:
        raise Problem(422, GatewayReason.INVALID_REQUEST, str(error)) from None
    count = selection.reasons.total()
    found: Json = {"letters": count, "reasons": dict(selection.reasons), "dry_run": fields.dry_run}
    if fields.dry_run or not count:
        return found | {"run_id": None, "sent": 0, "problems": []}
    run = Redrive(here.settings, run_id := new_replay_id(utc_now()), rate=_PER_S)
    for tally in run.run(wanted):
        if tally.sent + tally.left + tally.failed >= fields.limit or here.draining.is_set():
            break
    return found | {"run_id": run_id, "sent": run.tally.sent, "problems": run.tally.problems[:10]}
