"""Calls that may take seconds: threads of their own, so that they hold up no quick ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from streams.gateway.problems import GatewayReason, later

T = TypeVar("T")

_MOST = 16


class SlowCalls:
    """Questions to BigQuery and to Kafka's logs, and erasures: so many at once, and no queue."""

    def __init__(self, most: int = _MOST) -> None:
        """Threads start when they are needed."""
        self._most = most
        self._under_way = 0
        self._threads = ThreadPoolExecutor(most, thread_name_prefix="slow")

    async def run(self, call: Callable[[], T]) -> T:
        """The result of a call.

        Raises:
            Problem: as many are under way as may be.
        """
        if self._under_way >= self._most:
            raise later(GatewayReason.BUSY, f"{self._most} questions that take long are under way in this gateway")
        self._under_way += 1
        future = asyncio.get_running_loop().run_in_executor(self._threads, call)
        # Whoever asked may go away; the thread is busy until the call has ended.
        future.add_done_callback(self._ended)
        return await asyncio.shield(future)

    def close(self) -> None:
        """Begin no more of them."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _ended(self, future: asyncio.Future[T]) -> None:
        self._under_way -= 1
        if not future.cancelled():
            future.exception()  # it is told to whoever asked, if he is still there
