"""Collects the parts of searches until every shard has answered or the deadline is over, and writes one answer each.

Nothing is stored: the note that is committed with an offset is the offset of the oldest part that is not answered, and
whoever takes the partition over reads from there. So an answer may be written twice, and the sinks take the first.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from models.matching.merging import merged
from schemas import codec
from schemas.clock import utc_now
from schemas.erasure import ErasedPhoto
from schemas.results import Match
from sinks.base import Delivery, Position, RewindRequest
from streams.dead_letters.sender import Outbox, Outgoing
from streams.kafka.messages import TopicPartition
from streams.kafka.topics import Topic
from streams.observability import logs
from streams.roles import Role
from streams.searching.pending import PendingSearch, PendingSearches, SearchKey
from streams.settings import Settings

log = logging.getLogger(__name__)


class SearchMerger:
    """A :class:`sinks.base.BatchProcessor` of the parts of searches; for one thread."""

    def __init__(self, settings: Settings, now: Callable[[], float] = time.monotonic) -> None:
        """``now`` is a monotonic clock in seconds."""
        self._settings = settings
        self._matches = Topic.MATCHES.named(settings)
        self._pending = PendingSearches(settings.search_deadline_s, now)
        self._read_to: dict[TopicPartition, int] = {}
        self._outbox = Outbox(Role.SEARCH, settings)

    def assign(self, positions: Sequence[Position]) -> Mapping[TopicPartition, RewindRequest]:
        """Ask for the parts of searches that are not answered to be read again."""
        self.revoke([position.partition for position in positions])
        again = {}
        for one in positions:
            start = one.offset if one.renewed or not one.note else min(int(one.note), one.offset)
            self._read_to[one.partition] = start
            if start < one.offset:
                again[one.partition] = RewindRequest(start, self._settings.retention_hours * 3600)
        return again

    def revoke(self, partitions: Sequence[TopicPartition]) -> None:
        """Forget the searches of partitions; their next owner reads them again."""
        self._pending.forget(partitions)
        for partition in partitions:
            self._read_to.pop(partition, None)

    def write(self, batch: Sequence[Delivery[Match]]) -> None:
        """Take in parts, and answer the searches that are complete with them.

        Raises:
            SinkUnavailable: Kafka does not take the answers.
        """
        for one in batch:
            self._read_to[one.partition] = one.offset + 1
            self._pending.add(one.partition, one.offset, one.event)
        self._answer(self._pending.complete())

    def expire(self) -> None:
        """Answer the searches of which the deadline is over with the shards that have answered.

        Raises:
            SinkUnavailable: Kafka does not take the answers.
        """
        self._answer(self._pending.overdue())

    def erase(
        self,
        user_id: str,
        subject_id: str | None,
        *,
        erasure_id: str | None = None,
        wanted: Callable[[], bool] = lambda: True,
    ) -> dict[str, int]:
        """Nothing to do: the sinks take erased people out of answers, whenever these are written."""
        return {}

    def erase_photo(
        self,
        user_id: str,
        subject_id: str,
        photo: ErasedPhoto,
        *,
        erasure_id: str,
        wanted: Callable[[], bool] = lambda: True,
    ) -> dict[str, int]:
        """Nothing to do: searches name people, not their photos."""
        return {}

    def erase_in_searches(
        self,
        user_id: str,
        subject_id: str | None,
        *,
        erasure_id: str,
        partition: int,
        wanted: Callable[[], bool] = lambda: True,
    ) -> dict[str, int]:
        """Nothing to do, for the same reason."""
        return {}

    def note(self, partition: TopicPartition) -> str:
        """The offset of the first part that is needed again."""
        first = self._pending.first_offset(partition)
        return str(self._read_to[partition] if first is None else first)

    def _answer(self, keys: Sequence[SearchKey]) -> None:
        if not keys:
            return
        self._outbox.send([self._answer_to(self._pending[key]) for key in keys])
        for key in keys:
            if not (one := self._pending[key]).is_complete:
                log.warning(
                    "%d of %d shards have answered the search %s in time",
                    *(len(one.parts), one.shards, key[0]),
                    extra=logs.about(event_id=key[0]),
                )
        self._pending.answered(keys)

    def _answer_to(self, search: PendingSearch) -> Outgoing:
        match = replace(merged(search.parts.values(), self._settings.search_candidates), matched_at=utc_now())
        return Outgoing(self._matches, match.user_id.encode(), codec.encode(match), search.partition.partition)
