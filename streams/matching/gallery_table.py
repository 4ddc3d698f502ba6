"""The gallery of enrolled templates as a Faust table: a local copy of each partition, and its changelog on Kafka."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import faust
from faust.types import TP

from schemas import codec
from schemas.gallery import Template
from streams.engine import faust_internals
from streams.engine.faust_producer import deliver
from streams.matching.gallery_shard import key_of
from streams.observability.faults import LocalTableFailed


class GalleryTable(faust.Table[bytes, bytes]):
    """A Faust table whose local copy never claims to hold changes that another worker made.

    Faust stores the changelog offset of the last write in RocksDB, and recovery starts there. A worker that was
    suspended, lost its partitions and then completed a late write would store an offset beyond changes it never read,
    and skip them for ever when the partition came back. This table stores an offset only if it directly follows the
    one stored before.
    """

    async def write(self, changes: Sequence[tuple[int, bytes, bytes | None]]) -> None:
        """Write entries, given as partition, key and value (None deletes); return when the changelog has them.

        Faust's own item assignment takes the partition from the last event that was read, which in a batch may be
        another one, and its changelog producer waits up to a tenth of a second.

        Raises:
            LocalTableFailed: nothing was sent.
            aiokafka.errors.KafkaError: not all was delivered.
        """
        for partition, key, value in changes:
            self._put(partition, key, value)
        topic = self.changelog_topic_name
        outgoing = [(key, value, partition) for partition, key, value in changes]
        for part in await deliver(cast(faust.App, self.app), topic, outgoing):
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
            found = faust_internals.table_entries(self, partition)
        while True:
            with _reaching(partition):
                entry = next(found, None)
            if entry is None:
                return
            yield entry

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
    except Exception as error:  # rocksdict raises nothing more specific
        raise LocalTableFailed(f"the gallery's table of partition {partition}: {error}") from error
