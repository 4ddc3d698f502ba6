"""The gallery of enrolled templates as a Faust table: a local copy of each partition, and its changelog on Kafka."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import faust
from faust.types import TP

from schemas import codec
from schemas.gallery import Template
from streams.engine import faust_internals
from streams.engine.faust_producer import deliver
from streams.kafka.bulk_reader import read_bulk
from streams.kafka.connection import KafkaUnavailable
from streams.kafka.messages import TopicPartition
from streams.matching.changelog import TOMBSTONES_S
from streams.matching.gallery_shard import key_of
from streams.observability.faults import LocalTableFailed
from streams.settings import Settings

log = logging.getLogger(__name__)

Entry = tuple[bytes, bytes | None]
"""Key and value of a record of the changelog; None: the key is removed."""
_CURRENT_S = TOMBSTONES_S - 3600
_FEW = 2_000
"""Records that Faust may as well read itself."""


class GalleryTable(faust.Table[bytes, bytes]):
    """A Faust table whose local copy never claims to hold changes that another worker made.

    Faust stores the changelog offset of the last write in RocksDB, and recovery starts there. A worker that was
    suspended, lost its partitions and then completed a late write would store an offset beyond changes it never read,
    and skip them for ever when the partition came back. This table stores an offset only if it directly follows the
    one stored before.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.settings: Settings | None = None
        """Of the cluster; without them Faust recovers the table alone."""
        self.on_applied: Callable[[int, Sequence[Entry], int | None, int], None] = lambda *_: None
        """Told of what Faust has read of a partition's changelog: the entries, and the offsets before and after."""
        self._catching_up = threading.Lock()

    def note_current(self, partition: int) -> None:
        """Note that the local copy of a partition has what the changelog has, now, or nothing yet."""
        stamp = self._stamp(partition)
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.touch()

    def discard_stale(self, partition: int) -> bool:
        """Empty a local copy that was last current so long ago that the changelog may have forgotten removals since.

        Otherwise templates of people who were erased meanwhile would come back with the copy.

        Returns:
            Whether there was such a copy.

        Raises:
            LocalTableFailed: RocksDB could not be read, or the copy could not be removed.
        """
        if self.written_to(partition) is None:
            return False
        stamp = self._stamp(partition)
        if stamp.exists() and time.time() - stamp.stat().st_mtime < _CURRENT_S:
            return False
        log.warning("the copy of the shard %d is too old to be brought up to date: it is read anew", partition)
        with self._catching_up, _reaching(partition):
            faust_internals.empty_partition(self, partition)
        return True

    def _stamp(self, partition: int) -> Path:
        """The file whose time tells when the local copy of a partition was current."""
        return Path(cast(faust.App, self.app).conf.datadir) / "current" / f"{self.name}-{partition}"

    async def catch_up(self, partition: int, last: int, report: Callable[[int], None]) -> int | None:
        """Read the changelog of a partition into the local copy, up to an offset, a tenth as slowly as Faust does.

        Each batch is written at once with the offset that it reaches, so the copy is whole whenever this ends.

        Args:
            partition: to read.
            last: the offset of the last record.
            report: called with each offset that is reached, from another thread.

        Returns:
            The offset that is reached; None: none.

        Raises:
            KafkaUnavailable: it could not be read; what was read stays.
            LocalTableFailed: RocksDB could not be written.
        """
        written_to = self.written_to(partition)
        if self.settings is None or last - (-1 if written_to is None else written_to) < _FEW:
            return written_to
        store, stop = self._store_of(partition), threading.Event()
        source = TopicPartition(self.changelog_topic_name, partition)
        try:
            await asyncio.to_thread(self._read_on, self.settings, store, source, last, report, stop)
        finally:
            stop.set()
        return self.written_to(partition)

    def _read_on(
        self,
        settings: Settings,
        store: Any,
        source: TopicPartition,
        last: int,
        report: Callable[[int], None],
        stop: threading.Event,
    ) -> None:
        # One at a time: what was begun before a rebalance may still write its last batch.
        with self._catching_up, _reaching(source.partition):
            stored = faust_internals.stored_offset(store)
            if stored is None:
                # Whatever is read from now on is removed by a tombstone that the changelog still has for a day.
                self.note_current(source.partition)
            for records in read_bulk(settings, source, 0 if stored is None else stored + 1, last + 1):
                if stop.is_set():
                    return
                faust_internals.write_entries(store, records.entries, records.next_offset - 1)
                report(records.next_offset - 1)

    def apply_changelog_batch(self, batch: Iterable[Any]) -> None:
        """Take in events of the changelog, for Faust, in order within a partition."""
        events = list(batch)
        by_partition: dict[int, list[Entry]] = {}
        for event in events:
            message = event.message
            by_partition.setdefault(message.partition, []).append((message.key, message.value))
        before = {partition: self.written_to(partition) for partition in by_partition}
        super().apply_changelog_batch(events)
        for partition, entries in by_partition.items():
            after = self.written_to(partition)
            if after is not None:
                self.on_applied(partition, entries, before[partition], after)

    async def write(self, changes: Sequence[tuple[int, bytes, bytes | None]]) -> None:
        """Write entries, given as partition, key and value (None deletes); return when the changelog has them.

        The changelog has them first. Otherwise a worker that ends in between would find a removal done when it repeats
        its batch, and an erased template would stay in the changelog, from which others restore it.

        Faust's own item assignment takes the partition from the last event that was read, which in a batch may be
        another one, and its changelog producer waits up to a tenth of a second.

        Raises:
            aiokafka.errors.KafkaError: not all was delivered, and nothing is in the local copy.
            LocalTableFailed: all was delivered; recovery brings the local copy up to date.
        """
        topic = self.changelog_topic_name
        outgoing = [(key, value, partition) for partition, key, value in changes]
        delivered = await deliver(cast(faust.App, self.app), topic, outgoing)
        for partition, key, value in changes:
            self._put(partition, key, value)
        for part in delivered:
            source = TP(topic, part.partition)
            before = self.written_to(part.partition)
            if part.first_offset == (0 if before is None else before + 1):
                with _reaching(part.partition):
                    self.data.set_persisted_offset(source, part.first_offset + part.count - 1)

    def _put(self, partition: int, key: bytes, value: bytes | None) -> None:
        with _reaching(partition):
            store = self._store_of(partition)
            if value is None:
                store.delete(key)
            else:
                store.put(key, value)

    def entries(self, partition: int) -> Iterator[tuple[bytes, bytes]]:
        """All entries of one partition from the local store."""
        with _reaching(partition):
            yield from faust_internals.table_entries(self, partition)

    def _store_of(self, partition: int) -> Any:
        """RocksDB of one partition; Faust opens it when it recovers the table."""
        return faust_internals.table_partition(self, partition)

    def template(self, partition: int, user_id: str, template_id: str, model_version: str) -> Template | None:
        """One template as it was last written, from the local store."""
        with _reaching(partition):
            value = self._store_of(partition).get(key_of(user_id, template_id, model_version))
        return None if value is None else codec.decode(value, Template)

    def written_to(self, partition: int) -> int | None:
        """The changelog offset up to which the local copy of a partition is complete."""
        with _reaching(partition):
            offset: int | None = self.data.persisted_offset(TP(self.changelog_topic_name, partition))
        return offset


@contextmanager
def _reaching(partition: int) -> Iterator[None]:
    """Report what fails in RocksDB as a fault of this machine, not of the message being processed.

    Raises:
        LocalTableFailed: RocksDB could not be read or written.
    """
    try:
        yield
    except KafkaUnavailable:
        raise
    except Exception as error:  # rocksdict raises nothing more specific
        raise LocalTableFailed(f"the gallery's table of partition {partition}: {error}") from error
