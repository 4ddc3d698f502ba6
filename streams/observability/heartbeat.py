"""What a worker has done last, written by its own thread and read by those that judge it."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from streams.kafka.messages import Message, TopicPartition
from streams.kafka.unreadable import UnreadableBatch
from streams.observability import metrics

_ERROR_TEXT = 300
"""Characters of an error that are told."""


@dataclass(frozen=True, slots=True)
class ConsumerStatus:
    """How a worker stands in its consumer group.

    Attributes:
        ready: it has its partitions and their tables, or knows that there are none for it.
        assigned: the partitions that it reads.
        recovered: changelog records read so far; None where taking over may last as long as it likes, as in a sink
            whose service is away.
        may_starve: an assigned partition may be forgotten by the client, as aiokafka under Faust does
            (faust-streaming #629).
        standbys: the last changelog offset applied to each warm copy, -1 where none was.
    """

    ready: bool
    assigned: frozenset[TopicPartition]
    recovered: int | None = None
    may_starve: bool = False
    standbys: Mapping[TopicPartition, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PartitionLog:
    """One partition as the broker has it.

    Attributes:
        end: the offset behind all that may be read.
        committed: the group's committed offset, or the first message that is still there.
        appended: the offset that the next message will get; beyond ``end`` while a producer has not ended a
            transaction, which holds back everything that was appended since it began.
    """

    end: int
    committed: int
    appended: int = 0

    @property
    def lag(self) -> int:
        """Messages that wait."""
        return max(0, self.end - self.committed)

    @property
    def held_back(self) -> int:
        """Messages, or marks, that wait for the end of a transaction."""
        return max(0, self.appended - self.end)


@dataclass(frozen=True, slots=True)
class RetriedWork:
    """Work that fails and is tried again and again.

    Attributes:
        since: when it failed first, in monotonic seconds.
        what: what is waited for.
        error: the last one.
    """

    since: float
    what: str
    error: str


class WorkerHeartbeat:
    """The times (monotonic seconds) of a worker's last signs of life, and its progress by partition.

    Every change is one assignment to an attribute or a dictionary's entry, so that other threads may read meanwhile.
    """

    def __init__(self, role: str) -> None:
        self.role = role
        self.loop_turned_at: float | None = None
        self.turned_at: float | None = None
        self.busy_since: float | None = None
        self.waiting: RetriedWork | None = None
        self.erasing: RetriedWork | None = None
        """For a sink: an erasure that fails and is retried, independently of other work."""
        self.processed_at: float | None = None
        self.uncommitted_since: float | None = None
        self.committed_at: dict[TopicPartition, float] = {}
        self.next_offset: dict[TopicPartition, int] = {}
        self.done_to_ms: dict[TopicPartition, int] = {}
        """The broker's time stamp (milliseconds) of the newest message that had its effect."""
        self.held: Collection[TopicPartition] = frozenset()
        """Partitions that are not read on purpose, since enough of them waits in memory."""
        self.unreadable: dict[TopicPartition, UnreadableBatch] = {}
        """What holds up partitions, since nobody can read it."""

    def loop_turned(self) -> None:
        """The event loop runs."""
        self.loop_turned_at = time.monotonic()

    def turned(self) -> None:
        """The worker looks for work."""
        self.turned_at = time.monotonic()

    def arrived(self, source: TopicPartition, offset: int) -> None:
        """A message was fetched."""
        self.next_offset[source] = offset + 1

    def begins(self) -> None:
        """An attempt begins to give a batch its effect."""
        self.busy_since = time.monotonic()

    def failed(self, what: str, error: Exception) -> None:
        """The attempt failed and is repeated, waiting for something; until ``succeeded``."""
        metrics.RETRIES.labels(self.role).inc()
        since = time.monotonic() if self.waiting is None else self.waiting.since
        text = " ".join(f"{type(error).__name__}: {error}".split())
        self.waiting = RetriedWork(since, what, text[:_ERROR_TEXT])

    def succeeded(self) -> None:
        """Nothing is waited for any more."""
        self.waiting = None

    def erasing_failed(self, error: Exception) -> None:
        """An erasure failed and is repeated, until ``erasing_succeeded``; from its own thread."""
        metrics.RETRIES.labels(self.role).inc()
        since = time.monotonic() if self.erasing is None else self.erasing.since
        self.erasing = RetriedWork(since, "an erasure", " ".join(str(error).split())[:_ERROR_TEXT])

    def erasing_succeeded(self) -> None:
        """No erasure fails."""
        self.erasing = None

    def processed(self, events: int) -> None:
        """The batch in hand had its effect."""
        now = time.monotonic()
        self.waiting = None
        self.processed_at = now
        if self.uncommitted_since is None:
            self.uncommitted_since = now
        metrics.EVENTS.labels(self.role).inc(events)
        metrics.BATCH.labels(self.role).observe(events)

    def reached(self, messages: Iterable[Message]) -> None:
        """Everything up to these messages had its effect."""
        for one in messages:
            self.done_to_ms[one.source] = max(one.timestamp_ms, self.done_to_ms.get(one.source, 0))

    def ended(self) -> None:
        """Nothing is in hand."""
        self.busy_since = None
        self.turned()

    def committed(self, sources: Collection[TopicPartition], *, all_of_it: bool) -> None:
        """The broker took a commit; ``all_of_it`` if nothing that was processed is left."""
        now = time.monotonic()
        for source in sources:
            self.committed_at[source] = now
        self.uncommitted_since = None if all_of_it else now

    def reassigned(self) -> None:
        """The partitions were revoked: what was known of them does not count any more."""
        metrics.REBALANCES.labels(self.role).inc()
        self.waiting = None
        self.uncommitted_since = None
        self.committed_at = {}
        self.next_offset = {}
        self.done_to_ms = {}
