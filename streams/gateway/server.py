"""Runs the gateway in a process of its own, until a signal; then what is under way is finished first."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from types import FrameType

import uvicorn

from sinks.bigquery.client import Address
from sinks.bigquery.user_history import UserHistory
from sinks.redis.live import LiveStreams
from sinks.redis.sighting_results import SightingResults
from streams.api_keys.last_use import LastUse
from streams.api_keys.watcher import KeyWatcher
from streams.client.client import Client
from streams.gateway.app import make_app
from streams.gateway.auth import is_loopback
from streams.gateway.claims import EventClaims
from streams.gateway.context import Context
from streams.gateway.limits import ByteBudget, KeyCounter
from streams.gateway.protocol import GatewayProtocol
from streams.gateway.rate import RateLimit
from streams.gateway.slow import SlowCalls
from streams.gateway.submitting import ACKNOWLEDGE_S
from streams.gateway.usage import Usage
from streams.settings import Settings

log = logging.getLogger(__name__)

_BACKLOG = 2048
_KEEP_ALIVE_S = 30
_READERS = 200
"""How many may follow a live stream with one key."""
_DRAIN_S = 20


class CannotListen(OSError):
    """The gateway cannot listen where it should, or must not; the message says what to do."""


def run_gateway(settings: Settings, *, without_keys: bool = False) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        settings: of the deployment.
        without_keys: ask for no key; then it listens for programs of this machine only.

    Raises:
        CannotListen: the address is taken, or is not of this machine only though there are no keys.
        KafkaUnavailable: no broker answers.
        TopicsError: topics are missing or partitioned differently.
    """
    if without_keys and not is_loopback(settings.gateway_host):
        raise CannotListen(
            f"without keys the gateway may not listen at {settings.gateway_host}: leave FACESTREAM_GATEWAY_HOST at "
            "127.0.0.1, or make a key with `facestream keys create`"
        )
    with closing(_listen(settings)) as listening, opened(settings, without_keys=without_keys) as here:
        host, port = listening.getsockname()[:2]
        server = GatewayServer(here)
        log.info("gateway at http://%s:%d/api/", host, port)
        # uvicorn raises the signal again when it has drained; by then there is nothing left that it should end.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        server.run(sockets=[listening])


@contextmanager
def opened(settings: Settings, *, without_keys: bool = False) -> Iterator[Context]:
    """What the requests need, connected; closed at the end of a block.

    Raises:
        KafkaUnavailable, TopicsError: see :func:`run_gateway`.
    """
    with ExitStack() as stack:
        client = stack.enter_context(closing(Client(settings, block_s=0.0, delivery_timeout_s=ACKNOWLEDGE_S)))
        client.producer.connect()
        keys = None if without_keys else stack.enter_context(KeyWatcher(settings))
        usage = stack.enter_context(closing(Usage(LastUse(settings))))
        sightings = stack.enter_context(closing(SightingResults.of(settings)))
        slow = stack.enter_context(closing(SlowCalls()))
        dataset = Address(settings.bigquery_project, settings.bigquery_dataset, settings.bigquery_rest)
        yield Context(
            settings=settings,
            client=client,
            keys=keys,
            usage=usage,
            bodies=ByteBudget(),
            requests=KeyCounter(settings.gateway_requests_at_once),
            readers=KeyCounter(_READERS),
            live=LiveStreams.of(settings),
            rate=RateLimit(settings),
            claims=EventClaims(settings),
            sightings=sightings,
            history=UserHistory(dataset),
            slow=slow,
        )


def _listen(settings: Settings) -> socket.socket:
    host, port = settings.gateway_host, settings.gateway_port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        taken = " to another one" if error.errno == errno.EADDRINUSE else ""
        raise CannotListen(
            f"the gateway cannot listen at {host}:{port} ({error.strerror}): set FACESTREAM_GATEWAY_PORT{taken}"
        ) from error


def _config(here: Context) -> uvicorn.Config:
    return uvicorn.Config(
        make_app(here),
        loop="auto",
        http=GatewayProtocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_DRAIN_S,
    )


class GatewayServer(uvicorn.Server):
    """The server of a gateway; it tells the requests that wait that it is about to end."""

    def __init__(self, here: Context) -> None:
        super().__init__(_config(here))
        self._here = here
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal."""
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain."""
        super().handle_exit(sig, frame)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._here.draining.set)
