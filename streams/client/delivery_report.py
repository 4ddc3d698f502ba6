"""What becomes known of an event after it was handed over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from streams.client.errors import DeliveryFailed, DeliveryTimeout


@dataclass(frozen=True, slots=True)
class Delivered:
    """Where an event is in Kafka."""

    topic: str
    partition: int
    offset: int


@dataclass(slots=True, eq=False)
class DeliveryHandle:
    """An event that was handed over, and its delivery report once that is there.

    ``await handle`` waits for the report in asyncio, :meth:`result` does elsewhere.
    """

    event_id: str
    user_id: str
    topic: str
    future: Future[Delivered] = field(default_factory=Future, repr=False)
    """The future of the delivery report, for example for ``concurrent.futures.wait``."""
    asked: bool = field(default=False, init=False, repr=False)
    """Whether the caller has seen the delivery report."""

    def result(self, timeout_s: float | None = None) -> Delivered:
        """Wait for the delivery report.

        Raises:
            DeliveryFailed: Kafka did not take the event.
            DeliveryTimeout: there is no report yet; a ``TimeoutError``.
        """
        try:
            return self.future.result(timeout_s)
        except DeliveryFailed:
            self.asked = True
            raise
        except TimeoutError:
            raise DeliveryTimeout(f"event {self.event_id} has no delivery report after {timeout_s:g} s") from None

    def __await__(self) -> Generator[Any, None, Delivered]:
        """Wait for the delivery report without blocking the event loop; a cancelled wait leaves the event alone."""
        try:
            return (yield from asyncio.shield(asyncio.wrap_future(self.future)).__await__())
        except DeliveryFailed:
            self.asked = True
            raise

    @property
    def done(self) -> bool:
        """Whether there is a delivery report, good or bad."""
        return self.future.done()

    def add_done_callback(self, call: Callable[[DeliveryHandle], None]) -> None:
        """Call with this object when the report is there; at once if it is. The call must not block."""
        self.future.add_done_callback(lambda _: call(self))
