"""What those who run facestream look at: model versions, partitions, replays, dead letters and trainings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from models.embedder.card import UnusableModel
from models.embedder.registry_snapshot import RegistrySnapshot
from models.training import gate
from schemas.access import Scope
from schemas.as_json import time_text, to_json
from streams.dead_letters.errors import DeadLetterError
from streams.dead_letters.store import check_reasons, read_records
from streams.dead_letters.summary import summarize
from streams.gateway.auth import Caller, Needs
from streams.gateway.context import context
from streams.gateway.openapi import problems
from streams.gateway.problems import GatewayReason, Problem, json_answer
from streams.kafka.connection import admin_client
from streams.kafka.partition_counts import check_copartitioned, partition_counts
from streams.model_registry import records
from streams.observability.partition_status import role_json, role_states
from streams.replay import store
from streams.retraining.run_log import runs
from streams.roles import Role, running_roles
from streams.settings import Settings

router = APIRouter(tags=["operations"])

Operator = Annotated[Caller, Depends(Needs(Scope.OPS, all_users=True))]
Limit = Annotated[int, Query(ge=1, le=1000, description="At most so many, the newest.")]
Json = dict[str, Any]


@router.get("/api/v1/models", **problems(200, "The version that answers, and all that are known."))
async def models(request: Request, caller: Operator) -> Response:
    """List model versions and their states: those that were rolled out, and the reference models."""
    return await _read(request, caller, _models)


@router.get("/api/v1/shards", **problems(200, "Partitions by role, with owner, lag and size."))
async def shards(
    request: Request, caller: Operator, role: Annotated[Role | None, Query(description="Only this role.")] = None
) -> Response:
    """Show who works on each partition, how much waits there and for how long."""

    def find(settings: Settings) -> Json:
        admin = admin_client(settings)
        counts = partition_counts(admin, settings)
        partitions = check_copartitioned(counts, settings)
        states = role_states(admin, settings, counts, [role] if role else running_roles(settings.search_purposes))
        return {"partitions": partitions, "roles": {state.role.value: role_json(state) for state in states}}

    return await _read(request, caller, find)


@router.get("/api/v1/replays", **problems(200, "Replays, the newest last."))
async def replays(request: Request, caller: Operator, limit: Limit = 100) -> Response:
    """List replays and how they stand."""

    def find(settings: Settings) -> Json:
        found = store.replays(settings)[-limit:]
        return {"replays": [to_json(one) | {"state": store.shown_state(one)} for one in found]}

    return await _read(request, caller, find)


@router.get("/api/v1/dead-letters", **problems(200, "Counts by reason, stage and topic, and the last of each."))
async def dead_letters(
    request: Request,
    caller: Operator,
    reason: Annotated[str | None, Query(max_length=100, description="Only with this reason.")] = None,
    dismissed: Annotated[bool, Query(description="Count those that were dismissed too, and say why.")] = False,
) -> Response:
    """Count messages that could not be processed."""

    def find(settings: Settings) -> Json:
        try:
            check_reasons([] if reason is None else [reason])
        except DeadLetterError as error:
            raise Problem(422, GatewayReason.INVALID_REQUEST, str(error)) from None
        letters = (one for one in read_records(settings) if reason in (None, one.letter.reason))
        return summarize(letters, dismissed=dismissed).as_json(dismissals=dismissed)

    return await _read(request, caller, find)


@router.get("/api/v1/runs", **problems(200, "Scheduled trainings, the newest last."))
async def training_runs(request: Request, caller: Operator, limit: Limit = 100) -> Response:
    """List scheduled trainings: what was decided, and what came of it."""
    return await _read(request, caller, lambda settings: {"runs": [to_json(one) for one in runs(settings)[-limit:]]})


async def _read(request: Request, caller: Caller, find: Callable[[Settings], Json]) -> Response:
    here = context(request)
    with here.requests.one(caller.key_id):
        return json_answer(await here.slow.run(lambda: find(here.settings)))


def _models(settings: Settings) -> Json:
    try:
        registry, cards = records.read_registry(settings), records.cards(settings)
    except UnusableModel as error:
        raise Problem(500, GatewayReason.FAULT, str(error)) from error
    listed = []
    for version, card in cards.items():
        record = registry.record(version)
        listed.append(
            {
                "version": version,
                "state": registry.state(version) or "candidate",
                "answers": version == registry.production,
                "refusals": gate.refusals(card.lineage) if card.lineage else [],
            }
            | ({} if record is None else _step(registry, record.version))
        )
    return {"production": registry.production, "versions": listed}


def _step(registry: RegistrySnapshot, version: str) -> Json:
    """The last step of a version that was rolled out."""
    record = registry.record(version)
    assert record is not None
    return {
        "percent": record.percent,
        "filled": record.filled,
        "users_left_behind": len(record.stragglers),
        "subjects_given_up": len(record.given_up),
        "changed_at": time_text(record.changed_at),
        "changed_by": record.changed_by,
        "reason": record.reason,
    }
