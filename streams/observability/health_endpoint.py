"""The HTTP endpoint at which a process tells its health, from threads of its own: it answers while the process hangs.

``/healthz`` is 200 while the process lives and 503 when it hangs, ``/readyz`` is 200 when it can also work; both with
the same JSON. ``/metrics`` is for Prometheus.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from streams.settings import Settings


class HealthPortTaken(OSError):
    """The port for health is in use; the message says what to set."""


class HealthEndpoint:
    """Serves a report and metrics."""

    def __init__(self, settings: Settings, report: Callable[[], Mapping[str, Any]], metrics: CollectorRegistry) -> None:
        """Take the port at once; :meth:`start` serves it.

        Args:
            settings: its address.
            report: gives what is told, with ``alive`` and ``ready``.
            metrics: the metrics that are shown.

        Raises:
            HealthPortTaken: another process has the port.
        """
        self._report = report
        self._metrics: WSGIApplication = make_wsgi_app(metrics)
        self._server = self._listen(settings)
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port where it is served."""
        host, port = self._server.server_address[:2]
        return str(host), int(port)

    def start(self) -> None:
        """Serve it."""
        self._thread.start()

    def stop(self) -> None:
        """Serve it no more."""
        self._server.shutdown()
        self._server.server_close()

    def _listen(self, settings: Settings) -> WSGIServer:
        """Listen at the port of the settings, or at the first free one of their range, or at any free one."""
        host, port = settings.health_host, settings.health_port
        first, _, last = settings.health_ports.partition("-")
        for candidate in range(int(first), int(last) + 1) if first and not port else ():
            with suppress(OSError, OverflowError):
                return make_server(host, candidate, self._answer, ThreadingWSGIServer, _Quiet)
        try:
            return make_server(host, port, self._answer, ThreadingWSGIServer, _Quiet)
        except OSError as error:
            raise HealthPortTaken(
                f"the worker's health cannot be served at {host}:{port} ({error.strerror}): set "
                "FACESTREAM_HEALTH_PORT to another port, or to 0 for a free one"
            ) from error

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO")
        if path == "/metrics":
            return self._metrics(environ, start_response)
        if path not in ("/healthz", "/readyz"):
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"/healthz, /readyz or /metrics\n"]
        report = self._report()
        well = report["alive"] and (report["ready"] or path == "/healthz")
        start_response("200 OK" if well else "503 Service Unavailable", [("Content-Type", "application/json")])
        return [json.dumps(report).encode() + b"\n"]


class _Quiet(WSGIRequestHandler):
    """Logs no requests: Prometheus asks every few seconds."""

    timeout = 10

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
