"""The searches that not every shard has answered yet, by the parts that have been read."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from schemas.partition import TopicPartition
from schemas.parts import Source
from schemas.results import Match

REMEMBERED = 10_000
"""Searches that are known to be answered: late parts of theirs begin no new one."""

SearchKey = tuple[str, str | None, Source]
"""Event id, replay and frame of a search."""


@dataclass(slots=True)
class PendingSearch:
    """A search with at least one part."""

    partition: TopicPartition
    first_offset: int
    until: float
    """When the deadline is over, on the monotonic clock."""
    parts: dict[int, Match] = field(default_factory=dict)
    """By shard."""
    shards: int = 1

    @property
    def is_complete(self) -> bool:
        """Whether all shards have answered."""
        return len(self.parts) >= self.shards


class PendingSearches:
    """Collects parts until a search is complete, or its deadline is over; for one thread."""

    def __init__(self, deadline_s: float, now: Callable[[], float]) -> None:
        """A search may wait ``deadline_s`` seconds after its first part; ``now`` is a monotonic clock in seconds."""
        self._deadline_s = deadline_s
        self._now = now
        self._pending: dict[SearchKey, PendingSearch] = {}
        self._answered: OrderedDict[SearchKey, None] = OrderedDict()

    def __getitem__(self, key: SearchKey) -> PendingSearch:
        return self._pending[key]

    def add(self, partition: TopicPartition, offset: int, part: Match) -> None:
        """Take in a part; nothing happens if it is known, or its search is answered."""
        key = part.event_id, part.replay_id, part.source
        if part.search is None or key in self._answered:
            return
        one = self._pending.get(key)
        if one is None:
            one = self._pending[key] = PendingSearch(partition, offset, self._now() + self._deadline_s)
        one.shards = part.search.shards
        for shard in part.search.answered:
            one.parts.setdefault(shard, part)

    def complete(self) -> list[SearchKey]:
        """The searches that all shards have answered."""
        return [key for key, one in self._pending.items() if one.is_complete]

    def overdue(self) -> list[SearchKey]:
        """The searches whose deadline is over."""
        now = self._now()
        return [key for key, one in self._pending.items() if one.until <= now]

    def answered(self, keys: Collection[SearchKey]) -> None:
        """Note that the answers to searches have been delivered."""
        for key in keys:
            del self._pending[key]
            self._answered[key] = None
        while len(self._answered) > REMEMBERED:
            self._answered.popitem(last=False)

    def first_offset(self, partition: TopicPartition) -> int | None:
        """The offset of the first part that is needed again; None if none is."""
        return min((one.first_offset for one in self._pending.values() if one.partition == partition), default=None)

    def forget(self, partitions: Collection[TopicPartition]) -> None:
        """Forget the searches of partitions; their parts are read again, perhaps by another worker."""
        self._pending = {key: one for key, one in self._pending.items() if one.partition not in partitions}
