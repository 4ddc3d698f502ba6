"""HTTP/1.1 as uvicorn speaks it, with limits for what comes before a request is known: its head, and connections."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from streams.gateway.middleware import HEADERS
from streams.gateway.problems import GatewayReason, Problem, later

HEAD_BYTES = 32 * 1024
"""What the first line and the headers of a request may have together."""
HEAD_S = 10.0
"""How long they may take, and how long a new connection may be silent."""
CONNECTIONS = 4096
"""Most connections of a gateway."""


class _TooLarge(Exception):
    """The head is refused; it ends the parser."""


class GatewayProtocol(HttpToolsProtocol):
    """One connection; whoever cannot be answered is told so as every other problem is told."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._in_head = True
        self._heads = 0
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:
            self._refuse(later(GatewayReason.BUSY, "this gateway has as many connections as it may have"))
        else:
            self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        if self.transport.is_closing():
            return
        if self._in_head and self._head_timer is None:
            self._wait_for_head()
        before = self._heads if self._in_head else None
        super().data_received(data)
        if before == self._heads:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._refuse(_too_large())

    def on_headers_complete(self) -> None:
        """Begin with the request, unless its head is too large."""
        self._in_head, self._head_bytes, self._heads = False, 0, self._heads + 1
        self._stop_waiting()
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > HEAD_BYTES:
            self._refuse(_too_large())
            raise _TooLarge
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """What comes next is the head of another request."""
        super().on_message_complete()
        self._in_head = True

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._stop_waiting()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Say that it is no HTTP, unless something was said already."""
        self._refuse(Problem(400, GatewayReason.INVALID_REQUEST, "this is no request of HTTP/1.1"))

    def _wait_for_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_S, self._too_slow)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _too_slow(self) -> None:
        if self._head_bytes:
            self._refuse(Problem(408, GatewayReason.TOO_SLOW, f"the head of the request took more than {HEAD_S:g} s"))
        else:
            self.transport.close()

    def _refuse(self, problem: Problem) -> None:
        """Answer without the application, and end the connection."""
        if self.transport.is_closing():
            return
        self._stop_waiting()
        if self.cycle is None or self.cycle.response_complete:
            response = problem.response()
            lines = [f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}".encode()]
            lines += [
                name + b": " + value for name, value in [*response.raw_headers, *HEADERS, (b"connection", b"close")]
            ]
            self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n" + bytes(response.body))
        self.transport.close()


def _too_large() -> Problem:
    return Problem(431, GatewayReason.HEAD_TOO_LARGE, f"the head of a request may have {HEAD_BYTES} bytes")
