"""What a worker tells of itself over HTTP, from threads of its own: it answers while the worker hangs.

``/healthz`` is 200 while the worker lives and 503 when it hangs (soon the watchdog ends it), ``/readyz`` is 200 when it
also has its partitions and their tables; both with the same JSON. ``/metrics`` is for Prometheus.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self
from wsgiref.simple_server import make_server

from prometheus_client import make_wsgi_app
from prometheus_client.core import REGISTRY
from prometheus_client.exposition import ThreadingWSGIServer

from streams.commits import Size
from streams.groups import client_id
from streams.log_probe import LogProbe
from streams.pulse import Facts, Pulse
from streams.roles import Role
from streams.settings import Settings
from streams.watchdog import Judge, Watchdog

log = logging.getLogger(__name__)

_ALIVE_SHARE = 0.5
"""Of the watchdog's limit: a worker says that it is not alive before it is ended."""


class HealthPortTaken(OSError):
    """The port for health is in use; the message says what to set."""


class Health:
    """The health of this process's worker; a context manager that serves it and watches over the worker."""

    def __init__(self, role: Role, name: str, settings: Settings) -> None:
        """Take the port at once, so that the worker can tell it to its consumer group."""
        self._role = role
        self._name = name
        self._settings = settings
        self._began = time.monotonic()
        self._facts: Callable[[], Facts] | None = None
        self._pulse = Pulse(role)
        self._judge = Judge(self._pulse, settings.watchdog_s)
        self._strict = Judge(self._pulse, settings.watchdog_s * _ALIVE_SHARE)
        self._sizes: Callable[[], Mapping[int, Size]] = dict
        self._probe = LogProbe(role, settings)
        self._watchdog = Watchdog(lambda now: self._problem(now, self._judge), settings.watchdog_s)
        self._metrics = make_wsgi_app(REGISTRY)
        try:
            self._server = make_server(
                settings.health_host, settings.health_port, self._app, ThreadingWSGIServer, _Quiet
            )
        except OSError as error:
            raise HealthPortTaken(
                f"{settings.health_host}:{settings.health_port} cannot serve the worker's health ({error.strerror}): "
                "set FACESTREAM_HEALTH_PORT to another, or to 0 for a free one"
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)

    @property
    def port(self) -> int:
        """Where it is served."""
        return int(self._server.server_port)

    @property
    def client_id(self) -> str:
        """By which the consumer group knows the worker and where its health is served."""
        return client_id(self._name, socket.gethostname(), self.port)

    def __enter__(self) -> Self:
        self._thread.start()
        self._watchdog.start()
        REGISTRY.register(self)
        log.info("%s: health at http://%s:%d/healthz, /readyz, /metrics", self._name, *self._server.server_address[:2])
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        REGISTRY.unregister(self)
        self._watchdog.stop()
        self._probe.stop()
        self._server.shutdown()
        self._server.server_close()
