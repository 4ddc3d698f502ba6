"""How much at once: bytes of bodies that are held, and requests of each key."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from starlette.requests import ClientDisconnect, Request

from streams.gateway.problems import GatewayReason, Problem, later, too_large

BODIES_BYTES = 256 * 2**20
"""What all bodies that are being read or handed over may have together."""
IDLE_S = 10.0
"""Longest time without a byte of a body."""
ENVELOPE_BYTES = 64 * 1024
"""What a body may have besides the picture: other fields, and the boundaries of its parts."""


class ByteBudget:
    """Bytes that may be held at once, by all requests together."""

    def __init__(self, most: int = BODIES_BYTES) -> None:
        self.left = most

    def take(self, count: int) -> None:
        """Take some.

        Raises:
            Problem: there are not as many left.
        """
        if count > self.left:
            problem = later(GatewayReason.BUSY, "too many bytes are under way in this gateway")
            problem.headers["Connection"] = "close"
            raise problem
        self.left -= count

    def give_back(self, count: int) -> None:
        """Give some back."""
        self.left += count


class KeyCounter:
    """Requests under way, by key."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._under_way: Counter[str] = Counter()

    def under_way(self, key_id: str) -> int:
        """How many of a key are under way."""
        return self._under_way[key_id]

    @contextmanager
    def one(self, key_id: str) -> Iterator[None]:
        """Count a request while a block runs.

        Raises:
            Problem: the key has as many under way as it may have.
        """
        if self._under_way[key_id] >= self._most:
            detail = f"the key has {self._most} requests under way in this gateway"
            raise later(GatewayReason.TOO_MANY_REQUESTS, detail, status=429)
        self._under_way[key_id] += 1
        try:
            yield
        finally:
            self._under_way[key_id] -= 1
            if not self._under_way[key_id]:
                del self._under_way[key_id]


@asynccontextmanager
async def body_of(request: Request, budget: ByteBudget, most: int) -> AsyncIterator[bytearray]:
    """Read a body, and hold its bytes for the time of a block.

    Args:
        request: whose body.
        budget: what all requests may hold together.
        most: bytes that the body may have.

    Raises:
        Problem: it is too large, which is said before it is read where its length is announced; or it came too slowly;
            or too much is under way.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > most:
        raise too_large(f"the body has {announced} bytes and may have {most}")
    body = bytearray()
    try:
        await _fill(body, request, budget, most)
        yield body
    finally:
        budget.give_back(len(body))


async def _fill(body: bytearray, request: Request, budget: ByteBudget, most: int) -> None:
    chunks = aiter(request.stream())
    while True:
        try:
            async with asyncio.timeout(IDLE_S):
                chunk = await anext(chunks, None)
        except TimeoutError:
            detail = f"no byte of the body came for {IDLE_S:g} s"
            raise Problem(408, GatewayReason.TOO_SLOW, detail, {"Connection": "close"}) from None
        except ClientDisconnect:
            raise Problem(
                400, GatewayReason.INVALID_REQUEST, "the connection ended in the middle of the body"
            ) from None
        if chunk is None:
            return
        if len(body) + len(chunk) > most:
            raise too_large(f"the body has more than {most} bytes")
        budget.take(len(chunk))
        body += chunk
