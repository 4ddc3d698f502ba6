"""What a batch of embeddings comes to: changes of the gallery and messages to send, collected before any is sent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from schemas import codec, template_records
from schemas.dead_letters import DeadLetter
from schemas.results import Enrolment, Match
from schemas.rollout import Comparison
from streams.engine.faust_producer import Outgoing
from streams.kafka.messages import Message
from streams.kafka.topics import Topic
from streams.matching.consent_ends import TemplateKey
from streams.matching.gallery_partition import GalleryChange, GalleryPartition
from streams.matching.gallery_shard import key_of, template_key

TableWrite = tuple[int, bytes, bytes | None]
"""Partition, key and value of a change of the table; None removes."""

_RETIRED_AT_ONCE = 1_000
"""Templates of a retired version that are removed with one batch."""


@dataclass(slots=True)
class BatchOutcome:
    """What a batch changes and sends.

    Attributes:
        writes: changes of the table.
        chips: tombstones for faces that nothing may be learned from any more.
        results: outcomes, matches and comparisons by topic.
        dead_letters: of messages that cannot be processed.
        misplaced: events for the partition of their user.
    """

    writes: list[TableWrite] = field(default_factory=list)
    chips: list[Outgoing] = field(default_factory=list)
    results: dict[Topic, list[Outgoing]] = field(default_factory=lambda: defaultdict(list))
    dead_letters: list[DeadLetter] = field(default_factory=list)
    misplaced: list[Outgoing] = field(default_factory=list)

    def clean(self, gallery: GalleryPartition, now: datetime, retired: Collection[str]) -> None:
        """Take up what a failed attempt left undelivered, and remove templates that are expired or retired."""
        undelivered = gallery.undelivered()
        self._discard_chips(gallery.number, [key[1] for key, template in undelivered if template is None])
        self.writes += [
            (gallery.number, key_of(*key), template_records.encode(template) if template else None)
            for key, template in undelivered
        ]
        expired = gallery.shard.expired(now)
        self._discard_chips(gallery.number, [template_id for _, template_id, _ in expired])
        self.writes += [removal(gallery.number, key) for key in expired]
        self.writes += [
            removal(gallery.number, key) for key in remove_retired(gallery, retired, limit=_RETIRED_AT_ONCE)
        ]

    def change(self, partition: int, change: GalleryChange) -> None:
        """Add what an event changes in the gallery; a template that takes another's place is written after it."""
        self._discard_chips(partition, change.chips)
        self.writes += [removal(partition, key) for key in change.removed]
        values = change.encoded or map(template_records.encode, change.kept)
        self.writes += [(partition, template_key(one), value) for one, value in zip(change.kept, values, strict=True)]

    def result(self, message: Message, topic: Topic, result: Enrolment | Match | Comparison) -> None:
        """Add a result of a message, for the partition that the message came from."""
        self.results[topic].append((message.key, codec.encode(result), message.source.partition))

    def _discard_chips(self, partition: int, event_ids: Collection[str]) -> None:
        self.chips += [tombstone(event_id, partition) for event_id in event_ids]


def remove_retired(gallery: GalleryPartition, retired: Collection[str], *, limit: int) -> list[TemplateKey]:
    """Remove some templates of retired versions from the shard, ``limit`` at most of each; return their keys."""
    removed = []
    for version in set(retired) & set(gallery.shard.versions):
        for user_id, template_id in gallery.shard.some_of(version, limit):
            gallery.shard.discard(user_id, template_id, version)
            removed.append((user_id, template_id, version))
    return removed


def removal(partition: int, key: TemplateKey) -> TableWrite:
    """The table write that removes a template."""
    return partition, key_of(*key), None


def tombstone(event_id: str, partition: int) -> Outgoing:
    """The message that removes the chip of an upload."""
    return event_id.encode(), None, partition
