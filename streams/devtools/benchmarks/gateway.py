"""Measures the HTTP gateway beside an application that only reads bodies, and counts what is lost.

``python -m streams.devtools.benchmarks.gateway PORT`` serves that application: the same routes, framework and server.
"""

from __future__ import annotations

import asyncio
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import psutil
import uvicorn
from fastapi import FastAPI, Request, Response

from infra.ports import LOOPBACK, free_ports
from schemas import codec
from schemas.codec import stable_id
from streams.devtools.benchmarks.rows import Figures, attempt
from streams.devtools.local_stack import Stack
from streams.devtools.stats import percentile
from streams.devtools.synthetic_frames import frames_of_people
from streams.kafka.log_reader import read_topic
from streams.kafka.topics import Topic

_EMPTY = "empty"
_CONCURRENCY = 50
_ABOUT_CONCURRENCY = 100
_PICTURES = 21


@dataclass(slots=True)
class Load:
    """What came of many requests."""

    seconds: float = 0.0
    cpu_s: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list)

    @property
    def per_s(self) -> float:
        """Requests a second."""
        return len(self.latencies_ms) / self.seconds

    @property
    def cpu_ms(self) -> float:
        """Processor time of the server for a request."""
        return 1000 * self.cpu_s / len(self.latencies_ms)


def measure(folder: Path, requests: int, rounds: int, say: Callable[[str], None]) -> Iterator[Figures]:
    """Post frames, and ask ``/api/``, in turn at the gateway and at the empty application; no worker runs.

    Args:
        folder: for the stack.
        requests: of each round; ``/api/`` is asked as often.
        rounds: how often, of which the medians count.
        say: is told what is done.

    Yields:
        For frames, and for ``/api/`` with the prefix ``about_``: ``per_s``, ``empty_per_s``, their ``ratio``,
        processor milliseconds of a request and ``p99_ms``; then ``lost``, the frames that were accepted and are not
        in Kafka, and ``refused``.
    """
    pictures = frames_of_people(_PICTURES)
    with Stack(folder, say, retention_hours=1.0) as stack:
        key, empty = _start(stack)
        sent: list[str] = []

        def frame(key_text: str) -> Callable[[int], bytes]:
            return lambda number: _frame(pictures[number % len(pictures)], _new_id(sent), key_text)

        def about(_: int) -> bytes:
            return b"GET /api/ HTTP/1.1\r\nHost: gateway\r\n\r\n"

        gateway = int(urlsplit(stack.gateway).port or 0)
        yield attempt(
            "frames", lambda: _beside(stack, gateway, empty, requests, rounds, frame(key), _CONCURRENCY, "", say)
        )
        yield attempt(
            "about", lambda: _beside(stack, gateway, empty, requests, rounds, about, _ABOUT_CONCURRENCY, "about_", say)
        )
        yield attempt("lost", lambda: _lost(stack, sent))


def _beside(
    stack: Stack,
    gateway: int,
    empty: int,
    requests: int,
    rounds: int,
    make: Callable[[int], bytes],
    concurrency: int,
    prefix: str,
    say: Callable[[str], None],
) -> Figures:
    """The figures of one kind of request, from rounds in turn at both servers."""
    ours: list[Load] = []
    bare: list[Load] = []
    for number in range(rounds + 1):
        for port, name, found in ((empty, _EMPTY, bare), (gateway, "gateway", ours)):
            process = psutil.Process(stack.services.supervisor.running()[name])
            before = sum(process.cpu_times()[:2])
            load = asyncio.run(_load(port, requests, concurrency, make))
            load.cpu_s = sum(process.cpu_times()[:2]) - before
            say(f"{name}: {load.per_s:.0f} requests/s, {load.cpu_ms:.2f} ms of processor time each")
            if number:  # the first is to warm up
                found.append(load)
    per_s, empty_per_s = median(one.per_s for one in ours), median(one.per_s for one in bare)
    cpu_ms, empty_cpu_ms = median(one.cpu_ms for one in ours), median(one.cpu_ms for one in bare)
    refused = sum(count for one in ours for status, count in one.statuses.items() if status >= 300)
    return {
        f"{prefix}per_s": round(per_s, 1),
        f"{prefix}empty_per_s": round(empty_per_s, 1),
        f"{prefix}ratio": round(per_s / empty_per_s, 3),
        f"{prefix}cpu_ms": round(cpu_ms, 3),
        f"{prefix}empty_cpu_ms": round(empty_cpu_ms, 3),
        f"{prefix}p99_ms": round(percentile([ms for one in ours for ms in one.latencies_ms], 99), 1),
        f"{prefix}refused": refused,
    }


def _start(stack: Stack) -> tuple[str, int]:
    """Start both servers; return the gateway's key and the other's port."""
    (port,) = free_ports(1)
    stack.start_gateway()
    stack.services.supervisor.start(
        _EMPTY,
        [sys.executable, "-m", __name__, str(port)],
        log=stack.folder.absolute() / "logs" / f"{_EMPTY}.log",
        ready=lambda: _serves(port),
        stage=1,
    )
    return stack.await_gateway().text, port


def _serves(port: int) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"http://{LOOPBACK}:{port}/api/", timeout=2):
        return True
    return False


def _new_id(sent: list[str]) -> str:
    sent.append(stable_id("bench", len(sent), time.time_ns()))
    return sent[-1]


def _frame(picture: bytes, event_id: str, key: str) -> bytes:
    head = (
        f"POST /api/v1/users/user-{event_id[:1]}/frames?camera_id=door&event_id={event_id} HTTP/1.1\r\n"
        f"Host: gateway\r\nAuthorization: Bearer {key}\r\nContent-Type: image/jpeg\r\n"
        f"Content-Length: {len(picture)}\r\n\r\n"
    )
    return head.encode() + picture


async def _load(port: int, requests: int, concurrency: int, make: Callable[[int], bytes]) -> Load:
    """Make requests over so many connections; each sends its next when it has the answer to the one before."""
    load, numbers = Load(), iter(range(requests))

    async def one() -> None:
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        for number in numbers:
            request, began = make(number), time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.partition(b":")[2]))
            load.latencies_ms.append(1000 * (time.perf_counter() - began))
            load.statuses[int(head.split(b" ", 2)[1])] += 1
        writer.close()

    began = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(concurrency):
            tasks.create_task(one())
    load.seconds = time.perf_counter() - began
    return load


def _lost(stack: Stack, sent: list[str]) -> Figures:
    """The frames that the gateway was sent and that are not in Kafka; the empty application was sent half of them."""
    there = Counter(codec.event_id(one.value) for one in read_topic(stack.settings, Topic.FRAMES))
    expected = set(sent)
    accepted = len(expected & set(there))
    return {"accepted": accepted, "lost": len(sent) // 2 - accepted}


def _serve(port: int) -> None:
    """Serve an application that reads bodies and answers."""
    app = FastAPI(docs_url=None, redoc_url=None)

    @app.post("/api/v1/users/{user_id}/frames")
    async def frames(request: Request, user_id: str) -> Response:
        await request.body()
        return Response(b'{"status": "accepted"}', 202, media_type="application/json")

    @app.get("/api/")
    async def about() -> Response:
        return Response(b'{"version": "0"}', media_type="application/json")

    uvicorn.run(app, host=LOOPBACK, port=port, access_log=False, log_level="warning", server_header=False)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
