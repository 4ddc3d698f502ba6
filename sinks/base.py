"""The interface of sinks: places that events are written to in batches, where a batch written twice has one effect.

The worker calls it from one thread, in this order::

    assign(positions) → commit the offset and note() of each, synchronously
      → ( write(batch) → commit offsets and notes )* → revoke

The commit is the fence, because the broker accepts it only from the current owner of a partition. A note committed
before the first write tells every successor where this owner's rows may still arrive, so that it can see what is in the
service already when it reads messages again after a crash.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from schemas.dead_letters import DeadLetter, Resolution
from schemas.drift import Drift
from schemas.erasure import ErasedPhoto
from schemas.learning import Feedback
from schemas.partition import TopicPartition
from schemas.registry import Event
from schemas.results import Enrolment, Match
from schemas.rollout import Comparison
from schemas.sightings import Sighting

Result = Match | Comparison | Enrolment | DeadLetter | Resolution | Drift | Feedback | Sighting
"""What can be written to some sink."""

E_co = TypeVar("E_co", bound=Event, covariant=True)
E_contra = TypeVar("E_contra", bound=Event, contravariant=True)


@dataclass(frozen=True, slots=True)
class Position:
    """The offset at which reading of a partition continues, and the note of the last commit.

    ``renewed``: the topic was deleted and created again, so everything known by offset belongs to another topic.
    """

    partition: TopicPartition
    offset: int
    note: str
    renewed: bool = False


@dataclass(frozen=True, slots=True)
class Delivery(Generic[E_co]):
    """An event and the message it came in; offsets of a partition only grow.

    Messages of the same event (same ``event_id``, ``comparison_id``, ``letter_id``, ``resolution_id``,
    ``report_id``, ``feedback_id`` or
    ``change_id``, same ``replay_id``) come in the same partition.
    """

    partition: TopicPartition
    offset: int
    event: E_co


@dataclass(frozen=True, slots=True)
class Rejection(Generic[E_co]):
    """An event that the service will never take, and its reason."""

    delivery: Delivery[E_co]
    reason: str


@dataclass(frozen=True, slots=True)
class RewindRequest:
    """A request to read again from ``offset``, because the service has lost what was written and committed.

    Messages older than ``age_s`` seconds need not be read, because the service would no longer keep them.
    """

    offset: int
    age_s: float


class SinkUnavailable(Exception):
    """The service behind the sink does not answer, or says that it cannot now. Write the same batch again."""


class SinkFenced(Exception):
    """The committed notes are no longer valid: a successor took over, or the service lost its state.

    Assign every partition that is still owned again, from its committed offset and note; commit the new notes; then
    write the same batch again, without partitions that were lost. If that commit is refused, the consumer group has
    moved on: give up.
    """


class RejectedRow(Exception):
    """Events that the service will never accept: send each to the dead letters, then write the batch without them."""

    def __init__(self, rejections: Sequence[Rejection[Event]]) -> None:
        """Keep the rejections; never empty."""
        super().__init__(f"{len(rejections)} rejected, the first because: {rejections[0].reason}")
        self.rejections = list(rejections)

    @property
    def deliveries(self) -> list[Delivery[Event]]:
        """The events that are to be left out."""
        return [rejection.delivery for rejection in self.rejections]


class BatchProcessor(Protocol[E_contra]):
    """Gives batches of events their effect, which may be what it knows rather than what it writes.

    One thread calls everything except ``erase``; the module gives the order of calls.
    """

    def assign(self, positions: Sequence[Position]) -> Mapping[TopicPartition, RewindRequest]:
        """Take partitions over and lock out the previous owner; also called for partitions that are owned already.

        Returns:
            For each partition that must be read again, from where; usually none.

        Raises:
            SinkUnavailable: nothing can be written to these partitions yet; the call is repeated.
        """

    def revoke(self, partitions: Sequence[TopicPartition]) -> None:
        """Give partitions up. Never raises."""

    def write(self, batch: Sequence[Delivery[E_contra]]) -> None:
        """Make the batch durable. An event is written once, however often it comes; the first one counts.

        Raises:
            SinkUnavailable: not all of the batch was written; write the same batch again.
            SinkFenced: the same, but assign again first; see :class:`SinkFenced`.
            RejectedRow: the same, but without the rejected events.
        """

    def erase(
        self,
        user_id: str,
        subject_id: str | None,
        *,
        erasure_id: str | None = None,
        wanted: Callable[[], bool] = lambda: True,
    ) -> dict[str, int]:
        """Remove everything of a user, or everything that names one of his subjects. Safe to repeat.

        This is called from a thread of its own; meanwhile nothing of the user is written. A new owner of the partition
        repeats the erasure under the same id. When ``wanted`` returns False, because that has happened, nothing more is
        started.

        An answer about several people is kept without the erased one, whose face becomes ``refused`` with the reason
        ``erased``.

        Returns:
            The number of removed items, by kind.

        Raises:
            SinkUnavailable: not all of it was removed; the call is repeated.
        """

    def erase_photo(
        self,
        user_id: str,
        subject_id: str,
        photo: ErasedPhoto,
        *,
        erasure_id: str,
        wanted: Callable[[], bool] = lambda: True,
    ) -> dict[str, int]:
        """Remove what is kept of the uploads of a photo of a subject, but for the subject; see :meth:`erase`."""

    def erase_in_searches(
        self,
        user_id: str,
        subject_id: str | None,
        *,
        erasure_id: str,
        partition: int,
        wanted: Callable[[], bool] = lambda: True,
    ) -> dict[str, int]:
        """Take a user, or one of his subjects, out of answers to searches of other users; see :meth:`erase`.

        It is called for each partition, since the answers to searches of each partition are another worker's to write.
        Those that are written later are without whoever was erased.
        """

    def note(self, partition: TopicPartition) -> str:
        """A short text for an assigned partition. It is committed with the offset and returns in :class:`Position`."""


class Sink(BatchProcessor[E_contra], Protocol[E_contra]):
    """A place for results."""

    def check(self) -> None:
        """Check whether the service still has what was written; called every few seconds while nothing is written.

        Raises:
            SinkFenced: the service has lost it.
            SinkUnavailable: the service does not answer; the call is repeated.
        """

    def close(self) -> None:
        """Release connections."""
