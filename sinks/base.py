"""What a sink is: a place that events are written to, batch by batch, so that a batch written twice has one effect.

The worker drives a sink from one thread, in this order::

    assign(positions) → commit the offset and note() of each, synchronously
      → ( write(batch) → commit offsets and notes )* → revoke

A commit is what fences: the broker takes it only from the present owner of a partition. So a note that is committed
before the first write tells every successor where the rows of this owner may still land, and what is read again after a
crash has been written already or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from schemas.dead_letters import DeadLetter, Resolution
from schemas.drift import Drift
from schemas.embeddings import Embedding
from schemas.learning import Feedback
from schemas.partition import TopicPartition
from schemas.results import Enrolment, Match
from schemas.rollout import Comparison

Result = Match | Comparison | Enrolment | DeadLetter | Resolution | Drift | Embedding | Feedback
"""What can be written to a sink."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where reading of a partition goes on, and the note that the sink left there with its last commit.

    ``renewed``: its topic was deleted and created again, so that what is known of it by offset is of another one.
    """

    partition: TopicPartition
    offset: int
    note: str
    renewed: bool = False


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event and the message it came in; offsets of a partition only grow.

    Messages of the same event (same ``event_id``, ``comparison_id``, ``letter_id``, ``resolution_id``,
    ``report_id`` or ``feedback_id``, same ``replay_id``) come in the same partition.
    """

    partition: TopicPartition
    offset: int
    event: Result


@dataclass(frozen=True, slots=True)
class Rejection:
    """An event that the service will never take, and its reason."""

    delivery: Delivery
    reason: str


@dataclass(frozen=True, slots=True)
class RewindRequest:
    """The service has lost what was written and committed: read again from ``offset``, but nothing older than that.

    ``age_s`` is how long, in seconds, the service would have kept it.
    """

    offset: int
    age_s: float


class SinkUnavailable(Exception):
    """The service behind the sink does not answer, or answers that it cannot now. The same batch is tried again."""


class SinkFenced(Exception):
    """The notes committed are worth nothing any more: a successor took over, or the service lost its state.

    Assign again every partition still owned, from its committed offset and note, commit the new notes, then write the
    same batch again, without partitions that were lost. If that commit is refused, the group has moved on: give up.
    """


class RejectedRow(Exception):
    """Events that the service will never take: send each to the dead letters, then write the batch without them."""

    def __init__(self, rejections: Sequence[Rejection]) -> None:
        """Keep the rejections; never empty."""
        super().__init__(f"{len(rejections)} rejected, the first because: {rejections[0].reason}")
        self.rejections = list(rejections)

    @property
    def deliveries(self) -> list[Delivery]:
        """The events that are to be left out."""
        return [rejection.delivery for rejection in self.rejections]


class Sink(Protocol):
    """A place for results, driven by one thread, but for ``erase``; see the module for the order of calls."""

    def assign(self, positions: Sequence[Position]) -> Mapping[TopicPartition, RewindRequest]:
        """Take partitions over and shut the predecessor out; also called for partitions that are owned already.

        Returns:
            The partitions of which something must be read again, mostly none.

        Raises:
            SinkUnavailable: nothing can be written to these partitions yet; the call is repeated.
        """

    def revoke(self, partitions: Sequence[TopicPartition]) -> None:
        """Give partitions up. Never raises."""

    def write(self, batch: Sequence[Delivery]) -> None:
        """Make the batch durable, each event once by its id however often it comes; the first one wins.

        Raises:
            SinkUnavailable: some or none of the batch was written; the same batch is written again.
            SinkFenced: likewise, but first assign again; see there.
            RejectedRow: likewise, but without the rejected events; see there.
        """

    def check(self) -> None:
        """Look whether the service still has what was written, while nothing is; called every few seconds.

        Raises:
            SinkFenced: it has lost it; see there.
            SinkUnavailable: it does not answer; it is asked again.
        """

    def erase(
        self,
        user_id: str,
        subject_id: str | None,
        *,
        erasure_id: str | None = None,
        wanted: Callable[[], bool] = lambda: True,
    ) -> dict[str, int]:
        """Remove what is kept of a user, or what names one of his subjects; safe to repeat.

        Called from a thread of its own, beside all else; meanwhile nothing of the user is written. Whoever takes the
        partition over repeats the erasure under its id; where it is not ``wanted`` any more, since that has happened,
        nothing more is begun.

        An answer about several people stays, without the one; its face is then ``refused``, its reason ``erased``.

        Returns:
            How much of what was removed.

        Raises:
            SinkUnavailable: not all of it; the call is repeated.
        """

    def note(self, partition: TopicPartition) -> str:
        """A short text for an assigned partition, committed with its offset, given back in :class:`Position`."""

    def close(self) -> None:
        """Release connections."""
