"""The shards that a worker holds for others: decoded, so that it answers as soon as it takes one over.

Faust keeps a copy of the table of some partitions of other workers, and applies their changes as they come. Each shard
here is read from such a copy once, and then changed with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from streams.matching.gallery_partition import GalleryPartition
from streams.matching.gallery_shard import GalleryShard, load
from streams.matching.gallery_table import Entry, GalleryTable

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Standby:
    """A decoded copy, and the changelog offset that it has."""

    shard: GalleryShard
    written_to: int | None


class StandbyShards:
    """Decoded shards by partition; for the thread of the event loop."""

    def __init__(self, table: GalleryTable, search_purposes: Collection[str] = (), vectors: Path | None = None) -> None:
        """Follows the table from now on; the other arguments are those of :class:`GalleryShard`."""
        self._table = table
        self._kept_as = search_purposes, vectors
        self._decoded: dict[int, _Standby] = {}
        self._coming: dict[int, list[tuple[Sequence[Entry], int]]] = {}
        """What has been applied to a copy while it is read, with the offsets reached."""
        table.on_applied = self._on_applied

    def __len__(self) -> int:
        return len(self._decoded)

    def keep(self, partitions: Collection[int]) -> None:
        """Drop all but these."""
        self._decoded = {number: one for number, one in self._decoded.items() if number in partitions}

    def has(self, partition: int) -> bool:
        """Whether a partition is decoded."""
        return partition in self._decoded

    async def decode(self, partition: int) -> None:
        """Read a partition from its copy.

        Raises:
            LocalTableFailed: the copy cannot be read.
        """
        coming = self._coming[partition] = []
        try:
            written_to = self._table.written_to(partition)
            shard, misplaced = await asyncio.to_thread(load, self._table, partition, *self._kept_as)
            whole = not misplaced
            for entries, offset in coming:
                # What the copy had when it was read is repeated, which ends as it is.
                whole = whole and shard.apply(entries)
                written_to = offset
            if whole and self._coming.get(partition) is coming:
                self._decoded[partition] = _Standby(shard, written_to)
                log.info("the shard %d %s: %d templates", partition, "is decoded", len(shard))
        finally:
            if self._coming.get(partition) is coming:
                del self._coming[partition]

    def take(self, partition: int, written_to: int | None) -> GalleryPartition | None:
        """Hand over a shard, if it has what the table has now; whatever becomes of it is the new owner's."""
        self._coming.pop(partition, None)
        found = self._decoded.pop(partition, None)
        if found is None or found.written_to != written_to:
            return None
        return GalleryPartition(partition, found.shard, self._table, written_to)

    def _on_applied(self, partition: int, entries: Sequence[Entry], before: int | None, after: int) -> None:
        if (coming := self._coming.get(partition)) is not None:
            coming.append((entries, after))
        standby = self._decoded.get(partition)
        if standby is None:
            return
        try:
            if standby.written_to == before and standby.shard.apply(entries):
                standby.written_to = after
                return
        except Exception as error:  # its owner reports what cannot be read
            log.warning("the shard %d is not kept decoded: %r", partition, error)
        del self._decoded[partition]
