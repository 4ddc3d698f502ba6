"""What the gateway says of itself."""

from __future__ import annotations

from functools import cache
from importlib import metadata
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from streams.gateway.auth import NOBODY, identify
from streams.gateway.context import context
from streams.gateway.openapi import problems
from streams.gateway.problems import json_answer
from streams.gateway.waiting import MOST_S
from streams.observability.metrics import GATEWAY, ShownMetrics

router = APIRouter(tags=["gateway"])
_METRICS = ShownMetrics(GATEWAY)


@cache
def version() -> str:
    """The version of this installation."""
    return metadata.version("facestream")


@router.get("/api/", **problems(200, "The caller, the version and the limits."))
async def about(request: Request) -> Response:
    """Say who the caller is, the version and the limits. It needs no key."""
    caller, settings = identify(request), context(request).settings
    told = {
        "version": version(),
        "api": "v1",
        "caller": None
        if caller is NOBODY
        else {
            "key": f"fs_{caller.key_id}" if caller.key_id else None,
            "scopes": sorted(caller.scopes),
            "users": "all" if caller.all_users else sorted(caller.users),
        },
        "limits": {
            "picture_bytes": settings.max_picture_bytes,
            "picture_pixels": settings.max_picture_pixels,
            "wait_s": MOST_S,
            "requests_at_once": settings.gateway_requests_at_once,
        },
    }
    return json_answer(told)


@router.get("/healthz", include_in_schema=False)
async def healthz() -> dict[str, bool]:
    """Say that the process answers."""
    return {"alive": True}


@router.get("/readyz", include_in_schema=False)
async def readyz(request: Request, response: Response) -> dict[str, Any]:
    """Say whether it takes requests: it is not about to end, and Kafka answers."""
    here = context(request)
    draining, kafka = here.draining.is_set(), here.keys is None or here.keys.fresh
    ready = kafka and not draining
    response.status_code = 200 if ready else 503
    return {"ready": ready, "draining": draining, "kafka_answers": kafka}


@router.get("/metrics", include_in_schema=False)
async def metrics() -> Response:
    """Metrics for Prometheus."""
    return Response(generate_latest(_METRICS), media_type=CONTENT_TYPE_LATEST)
