"""What happens to every request: security headers, and what Prometheus is told."""

from __future__ import annotations

import time
from functools import cache

from prometheus_client import Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streams.observability.metrics import GATEWAY, shown_by

REQUESTS = shown_by(
    [GATEWAY],
    Counter("facestream_http_requests", "Requests that the gateway has answered.", ["route", "method", "status"]),
)
SECONDS = shown_by(
    [GATEWAY],
    Histogram(
        "facestream_http_request_duration_seconds",
        "From the head of a request to the end of its answer.",
        ["route"],
        buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    ),
)
UNDER_WAY = shown_by([GATEWAY], Gauge("facestream_http_requests_under_way", "Requests that the gateway is answering."))
_METHODS = {"GET", "POST", "HEAD", "DELETE", "PUT", "PATCH", "OPTIONS"}
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]
"""For answers that do not say otherwise, as the files of the live page do."""


class EveryRequest:
    """Adds headers to every answer, and counts and times it by its route."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = list(message.get("headers", ()))
                said = {name for name, _ in own}
                message["headers"] = [*own, *(header for header in HEADERS if header[0] not in said)]
            await send(message)

        UNDER_WAY.inc()
        try:
            await self._app(scope, receive, send_with_headers)
        finally:
            UNDER_WAY.dec()
            # Names of users are in the path, so only the route is told; and methods may be made up.
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            requests, seconds = _metrics(route, method, status)
            requests.inc()
            seconds.observe(time.perf_counter() - began)


@cache
def _metrics(route: str, method: str, status: int) -> tuple[Counter, Histogram]:
    """Looked up once: it is for every request. There are only so many routes, methods and statuses."""
    return REQUESTS.labels(route, method, status), SECONDS.labels(route)
