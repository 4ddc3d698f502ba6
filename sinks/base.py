"""What a sink is: a place that events are written to, batch by batch, so that a batch written twice has one effect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from schemas.events import DeadLetter, Enrolment, Match

Result = Match | Enrolment | DeadLetter
"""What can be written to a sink."""


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition of a topic."""

    topic: str
    number: int


@dataclass(frozen=True, slots=True)
class Position:
    """Where reading of a partition goes on, and the note that the sink left there with its last commit."""

    partition: Partition
    offset: int
    note: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event and the message it came in; offsets of a partition only grow."""

    partition: Partition
    offset: int
    event: Result


class SinkUnavailable(Exception):
    """The service behind the sink does not answer, or answers that it cannot now. The same batch is tried again."""


class SinkFenced(Exception):
    """Another worker has taken over a partition that this one still writes: give it up, write nothing more."""


class Sink(Protocol):
    """A place for results. One worker drives it from one thread.

    The worker reads a batch, calls :meth:`write`, and commits the offsets with :meth:`note` only after it returned;
    so what is read again after a crash has been written already or not at all, and the sink must cope with either.
    """

    def assign(self, positions: Sequence[Position]) -> None:
        """Take over partitions: find out what a predecessor has written beyond ``offset``, and shut it out.

        Raises:
            SinkUnavailable: nothing has changed; the call is repeated.
        """

    def revoke(self, partitions: Sequence[Partition]) -> None:
        """Give partitions up. Never raises."""

    def write(self, batch: Sequence[Delivery]) -> None:
        """Make the batch durable, each event once by its ``event_id`` however often it comes; the first one wins.

        Raises:
            SinkUnavailable: some or none of the batch was written; the same batch is written again.
            SinkFenced: see there.
        """

    def note(self, partition: Partition) -> str:
        """A short text kept with the committed offset, given back in :class:`Position` to the next owner."""

    def close(self) -> None:
        """Release connections."""
