"""The gallery partitions that a worker has in memory, as Kafka assigns them to it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import faust

from streams.engine.faust_internals import copies_of_others
from streams.engine.faust_producer import deliver
from streams.kafka.commit_metadata import ShardSize
from streams.kafka.topics import Topic
from streams.matching.batch_outcome import TableWrite, tombstone
from streams.matching.gallery_partition import GalleryPartition
from streams.matching.gallery_shard import load
from streams.matching.gallery_table import GalleryTable
from streams.matching.model_cards import ModelCards
from streams.matching.other_spellings import MisplacedTemplate, as_embeddings
from streams.matching.standby_shards import StandbyShards
from streams.privacy.erasures import Erasures, NewErasures
from streams.settings import Settings

log = logging.getLogger(__name__)

_LOAD_EVERY_S = 2.0
"""How often the worker checks whether an assigned shard is still to be loaded."""

_NOTE_EVERY_S = 60.0
"""How often the worker notes that its copies of the table are current."""


class LoadedShards:
    """Loads the shards of assigned partitions from the local table, and again after another worker has changed them."""

    def __init__(
        self, app: faust.App, settings: Settings, table: GalleryTable, models: ModelCards, erased: Erasures
    ) -> None:
        """``erased`` takes in the erasures that were requested before the worker had a partition."""
        self._app = app
        self._table = table
        self._models = models
        self._erased = erased
        self._embeddings = Topic.EMBEDDINGS.named(settings)
        self._chips = Topic.CHIPS.named(settings)
        self._new_erasures = NewErasures(settings)
        vectors = Path(app.conf.datadir) / "vectors" if settings.compact_galleries else None
        self._kept_as = settings.search_purposes, vectors
        self._erasures_read: set[int] = set()
        """Partitions of this assignment whose erasures were read before their shard."""
        self._loaded: dict[int, GalleryPartition] = {}
        self._standbys = StandbyShards(table, *self._kept_as)
        self._noted: set[int] = set()
        self._noted_at = self._turned_at = 0.0
        self.lock = asyncio.Lock()
        """Held by whoever changes or loads shards: the agent for a batch, and the loader of shards without messages."""
        app.on_partitions_assigned.connect(self._on_assigned)
        app.task(self._load_all)

    def sizes(self) -> Mapping[int, ShardSize]:
        """The sizes of the loaded shards, by partition; from any thread."""
        return {number: gallery.shard.size for number, gallery in dict(self._loaded).items()}

    async def of(self, partitions: Collection[int]) -> Mapping[int, GalleryPartition]:
        """These partitions of the gallery, loaded where they are not yet."""
        for partition in partitions:
            await self._load(partition)
        return {partition: self._loaded[partition] for partition in partitions}

    async def write(self, writes: Sequence[TableWrite]) -> None:
        """Write changes of loaded shards to the table; return when its changelog has them."""
        await self._table.write(writes)
        for partition in {partition for partition, _, _ in writes}:
            self._loaded[partition].written_to = self._table.written_to(partition)

    async def _load(self, partition: int) -> None:
        """Read a shard from the local table, unless the one in memory has everything that the table has."""
        assigned = self._assigned()
        self._loaded = {number: gallery for number, gallery in self._loaded.items() if number in assigned}
        written_to = self._table.written_to(partition)
        known = self._loaded.get(partition)
        if known is not None and known.written_to == written_to:
            return
        await self._read_erasures(partition, assigned)
        if (decoded := self._standbys.take(partition, written_to)) is not None:
            log.info("the shard %d was decoded already", partition)
            self._loaded[partition] = decoded
            return
        shard, misplaced = await asyncio.to_thread(load, self._table, partition, *self._kept_as)
        self._loaded[partition] = GalleryPartition(partition, shard, self._table, written_to)
        if misplaced:
            await self._send_on(partition, misplaced)

    async def _send_on(self, partition: int, misplaced: Sequence[MisplacedTemplate]) -> None:
        """Send templates to the partitions of their users, and remove them here with their chips."""
        try:
            count = int(self._app.conf.topic_partitions)
            embeddings = as_embeddings(misplaced, self._erased, self._models.retired, count)
            await deliver(self._app, self._embeddings, embeddings)
            chips = {one.template.template_id for one in misplaced}
            await deliver(self._app, self._chips, [tombstone(template_id, partition) for template_id in chips])
            await self.write([(partition, one.key, None) for one in misplaced])
        except BaseException:
            del self._loaded[partition]  # so that what is left is found again
            raise

    def _assigned(self) -> set[int]:
        """The partitions that this worker owns."""
        return {tp.partition for tp in self._app.consumer.assignment() if tp.topic == self._embeddings}

    async def _load_all(self) -> None:
        """Load the shards of partitions that get no messages too: they may have misplaced templates."""
        while not self._app.should_stop:
            await asyncio.sleep(_LOAD_EVERY_S)
            for partition in sorted(self._assigned()):
                if self._app.rebalancing or not cast(Any, self._app.tables).recovery.completed.is_set():
                    break
                if partition in self._loaded:
                    continue
                try:
                    async with self.lock:
                        await self._load(partition)
                except Exception as error:  # a broker is away, or the partition is gone: the next message tells
                    log.warning("the shard %d is not loaded yet: %r", partition, error)
                    break
            await self._decode_standbys()

    def _note_current(self, partitions: Collection[int]) -> None:
        """Note now and then that the local copies of these partitions are current."""
        now, before = time.time(), self._turned_at
        self._turned_at = now
        if not 0 <= now - before < _NOTE_EVERY_S:
            self._noted_at = now  # it may have been suspended, and have lost the partitions without knowing it yet
        elif self._noted != set(partitions) or now - self._noted_at > _NOTE_EVERY_S:
            for partition in partitions:
                self._table.note_current(partition)
            self._noted, self._noted_at = set(partitions), now

    async def _decode_standbys(self) -> None:
        """Decode a copy of another worker's shard that has caught up, and drop those that are not kept any more."""
        if self._app.rebalancing:
            return  # what has been decoded may be taken over
        copies = copies_of_others(self._app)
        self._note_current({tp.partition for tp, caught_up in copies.items() if caught_up} | self._assigned())
        self._standbys.keep({tp.partition for tp in copies} | (self._assigned() - self._loaded.keys()))
        for tp, caught_up in copies.items():
            if caught_up and not self._standbys.has(tp.partition) and not self._app.rebalancing:
                try:
                    await self._standbys.decode(tp.partition)
                except Exception as error:
                    log.warning("the copy of the shard %d is not decoded yet: %r", tp.partition, error)
                return

    async def _read_erasures(self, partition: int, assigned: Collection[int]) -> None:
        """Read the erasures of the partition, and at once those of all others that are still to be loaded."""
        if partition not in self._erasures_read:
            new = {number for number in assigned if number not in self._loaded} | {partition}
            self._erased.update(await asyncio.to_thread(self._new_erasures.of, new))
            self._erasures_read |= new
        self._erasures_read.discard(partition)

    async def _on_assigned(self, *_: object, **__: object) -> None:
        self._erasures_read.clear()
