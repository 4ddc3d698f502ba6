"""What a producer knows of an event that it was given, and what can go wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from schemas.reasons import Reason


class InvalidPicture(ValueError):
    """A picture that no worker would take; nothing was sent."""

    def __init__(self, reason: Reason, message: str) -> None:
        """Keep the reason for programs beside the message for people."""
        super().__init__(message)
        self.reason = reason


class BackPressure(Exception):
    """The event was not accepted in time, because earlier ones are still under way; nothing was sent."""


class DeliveryFailed(Exception):
    """Kafka does not have the event, or has not said so in time. Sending it again with the same event id is safe."""

    def __init__(self, message: str, event_ids: list[str]) -> None:
        """Keep the ids of the events beside the message."""
        super().__init__(message)
        self.event_ids = event_ids


@dataclass(frozen=True, slots=True)
class Delivered:
    """Where an event is in Kafka."""

    topic: str
    partition: int
    offset: int


@dataclass(slots=True, eq=False)
class Sent:
    """An event that was handed over, and its delivery report once that is there."""

    event_id: str
    user_id: str
    topic: str
    future: Future[Delivered] = field(default_factory=Future, repr=False)
    """For ``asyncio.wrap_future`` and ``concurrent.futures.wait``."""
    asked: bool = field(default=False, init=False, repr=False)
    """Whether the caller has seen the delivery report."""

    def result(self, timeout_s: float | None = None) -> Delivered:
        """Wait for the delivery report.

        Raises:
            DeliveryFailed: Kafka did not take the event.
            TimeoutError: there is no report yet.
        """
        try:
            delivered = self.future.result(timeout_s)
        except DeliveryFailed:
            self.asked = True
            raise
        return delivered

    @property
    def done(self) -> bool:
        """Whether there is a delivery report, good or bad."""
        return self.future.done()

    def add_done_callback(self, call: Callable[[Sent], None]) -> None:
        """Call with this object when the report is there; at once if it is. The call must not block."""
        self.future.add_done_callback(lambda _: call(self))
