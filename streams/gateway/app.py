"""The application: its routes, what it opens and closes, and how errors become answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from schemas.errors import FacestreamError
from sinks.base import SinkUnavailable
from streams.api_keys.watcher import KeysUnknown
from streams.gateway.context import Context
from streams.gateway.middleware import EveryRequest
from streams.gateway.problems import GatewayReason, Known, Problem, problem_of
from streams.gateway.routes import (
    about,
    actions,
    answers,
    erasures,
    feedback,
    history,
    hooks,
    live,
    operations,
    page,
    submissions,
)

log = logging.getLogger(__name__)

ROUTERS = (
    submissions.router,
    answers.router,
    history.router,
    live.router,
    feedback.router,
    erasures.router,
    operations.router,
    actions.router,
    hooks.router,
    about.router,
    page.router,
)
"""All routes."""

_REASONS = {404: GatewayReason.NOT_FOUND, 405: GatewayReason.METHOD_NOT_ALLOWED}


def make_app(here: Context) -> FastAPI:
    """The application of a gateway; whoever makes the context closes it."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        writing = asyncio.create_task(here.usage.write_regularly())
        try:
            yield
        finally:
            writing.cancel()
            with suppress(asyncio.CancelledError):
                await writing
            await here.usage.write()
            await here.live.close()
            await here.rate.close()
            await here.claims.close()

    app = FastAPI(
        title="facestream",
        summary="Recognises faces in photos and frames.",
        version=about.version(),
        lifespan=lifespan,
        docs_url=None,  # its page would fetch programs from elsewhere
        redoc_url=None,
        openapi_url="/api/openapi.json",
        redirect_slashes=False,
    )
    app.state.context = here
    for router in ROUTERS:
        app.include_router(router)
    app.add_middleware(EveryRequest)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(FacestreamError, _error)
    app.add_exception_handler(KeysUnknown, _error)
    app.add_exception_handler(SinkUnavailable, _error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _fault)
    return app


async def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return error.response()


async def _error(request: Request, error: Exception) -> Response:
    assert isinstance(error, Known)
    try:
        return problem_of(error).response()
    except FacestreamError:
        return await _fault(request, error)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = [{"field": ".".join(map(str, one["loc"][1:])), "message": one["msg"]} for one in error.errors()]
    detail = "; ".join(f"{one['field']}: {one['message']}" for one in found)
    return Problem(422, GatewayReason.INVALID_REQUEST, detail, errors=found).response()


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    reason = _REASONS.get(error.status_code, GatewayReason.INVALID_REQUEST)
    return Problem(error.status_code, reason, str(error.detail), error.headers).response()


async def _fault(_: Request, error: Exception) -> Response:
    log.error("a request failed", exc_info=error)
    return Problem(500, GatewayReason.FAULT, "a fault of the gateway, which is in its log").response()
