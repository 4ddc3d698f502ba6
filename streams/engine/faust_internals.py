"""Every private attribute of Faust that facestream reads, replaces or overrides, because Faust has no public way to it.

Faust is pinned exactly. ``tests/streams/engine/test_faust_internals.py`` checks each name that is used here, so that an
upgrade that moves one fails with its name. What lies below, in aiokafka, is in ``aiokafka_internals``.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Protocol, cast

import aiokafka
import faust
from aiokafka.errors import CommitFailedError, IllegalStateError, UnknownTopicOrPartitionError
from aiokafka.structs import OffsetAndMetadata
from faust.stores.rocksdb import Store
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.transport.conductor import Conductor
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Producer, Transport
from faust.types import TP, Message
from mode.services import WaitResults
from mode.utils.queues import FlowControlEvent

from streams.engine import aiokafka_internals
from streams.kafka.messages import TopicPartition, from_client, to_aiokafka

log = logging.getLogger(__name__)

_POLL_S = 0.1


class SteadyFlow(FlowControlEvent):
    """Faust's flow control, but resuming what flows already throws nothing away.

    After a table's recovery Faust goes back to the committed offsets while messages flow, and only then resumes the
    flow, which empties the queues of what has come in between: it would be lost, but for ``gap_check``.
    """

    def resume(self) -> None:
        """Let messages flow again, if they do not."""
        if not self.is_active():
            super().resume()


class PromptConsumer(Consumer):
    """Faust's consumer as a stage needs it.

    It reads only what is committed (Faust itself does so in ``exactly_once`` alone), seeks without a race against its
    own fetches, does not raise what it cannot decode, and leaves out what Faust spends on every message and
    sleeps through.
    """

    async def wait_first(self, *coros: Any, timeout: Any = None) -> WaitResults:  # noqa: ASYNC109
        """Wait for the first of some; the one caller with two gives a message, or is told to suspend that.

        Faust makes four tasks for each message, a quarter of what a match worker did. Where nothing holds the message
        up it is given at once.
        """
        conductor = cast(Conductor, self.app.topics)
        if len(coros) == 2 and self.app.flow_control.is_active() and not conductor._tp_to_callback_lock.locked():
            given, suspended = coros
            suspended.close()
            await given
            return WaitResults([], [], False)
        return await super().wait_first(*coros, timeout=timeout)

    def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:
        """Fetched messages; a partition that is read on counts only from the next call on, so that must come soon."""
        return super().getmany(min(timeout, _POLL_S))

    async def _seek(self, partition: TP, offset: int) -> None:
        """Seek in the thread that fetches: from this one, Faust would take from aiokafka what it is just giving."""
        await self._thread.call_thread(cast(Any, self._thread.seek), partition, offset)

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)


class _ConsumerThread(AIOKafkaConsumerThread):
    async def on_start(self) -> None:
        await super().on_start()
        aiokafka_internals.guard(self._ensure_consumer())

    def _create_worker_consumer(self, transport: Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        aiokafka_internals.read_committed(consumer)
        return consumer


class TableToCatchUp(Protocol):
    """A table that can read its changelog faster than Faust does."""

    def discard_stale(self, partition: int) -> bool:
        """Empty the copy of a partition that the changelog cannot bring up to date any more; return whether it was."""

    async def catch_up(self, partition: int, last: int, report: Callable[[int], None]) -> int | None:
        """Read a partition of the changelog up to the offset ``last``, reporting the offsets reached; return it."""


class CatchingUp(Recovery):
    """Faust's recovery of tables, which takes 130 µs a record, behind a faster one of the tables that have one.

    What is left, it reads itself: all, where the faster one fails.
    """

    async def _wait(self, coro: Any, timeout: Any = None) -> None:  # noqa: ASYNC109
        """Wait as long as it takes: after its time-out Faust would go on as if it had been done."""
        await super()._wait(coro)

    async def _build_offsets(self, consumer: Any, tps: set[TP], destination: Any, title: str) -> None:
        """Find out where to begin to read; before that the tables of active partitions catch up."""
        for tp in sorted(tps):
            if cast(TableToCatchUp, self.tp_to_table[tp]).discard_stale(tp.partition):
                destination[tp] = None
        for tp in sorted(tps if title == "active" else ()):
            table, last = cast(TableToCatchUp, self.tp_to_table[tp]), self.active_highwaters[tp]
            try:
                destination[tp] = await table.catch_up(tp.partition, last, partial(destination.__setitem__, tp))
            except Exception as error:  # Faust then says what is wrong, or waits
                log.warning("%s %d is recovered record by record: %r", tp.topic, tp.partition, error)
                destination[tp] = cast(Any, table).persisted_offset(tp)
        await super()._build_offsets(consumer, tps, destination, title)


class Tables(TableManager):
    """Faust's tables, recovered by :class:`CatchingUp`."""

    @property
    def recovery(self) -> Recovery:
        """The service that recovers them."""
        if self._recovery is None:
            self._recovery = CatchingUp(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery


def install(app: faust.App) -> None:
    """Give an application this module's flow control and consumer."""
    app.flow_control = SteadyFlow()
    vars(app.transport)["Consumer"] = PromptConsumer
    app.on_partitions_assigned.connect(_fetch_promptly)
    app.on_partitions_assigned.connect(_forget_positions)


async def _fetch_promptly(app: faust.App, /, *_: object, **__: object) -> None:
    """Have a recovered table's own changelog, which is fetched and never taken, keep no fetch short."""

    def is_taken(tp: Any) -> bool:
        return tp.topic not in app.tables.changelog_topics or tp in (
            cast(Consumer, app.consumer)._active_partitions or ()
        )

    aiokafka_internals.fetch_promptly(_client(app), is_taken)


async def _forget_positions(app: faust.App, /, *_: object, **__: object) -> None:
    """Take nothing that is fetched after a rebalance for something that was read before it.

    Faust drops what lies before the last message that it gave. It forgets that one at a rebalance, but a message that
    is being given at that moment is noted after that; and when partitions come back, reading begins before Faust has
    replaced the note by the committed offset.
    """
    cast(Consumer, app.consumer)._read_offset.clear()


def _thread(app: faust.App) -> AIOKafkaConsumerThread:
    return cast(Consumer, app.consumer)._thread


def _client(app: faust.App) -> aiokafka.AIOKafkaConsumer:
    """aiokafka's consumer, which lives in Faust's consumer thread."""
    return _thread(app)._ensure_consumer()


def positions(app: faust.App) -> dict[TopicPartition, int]:
    """The offset from which each assigned partition is read on, without a question to the consumer's thread.

    It lies behind transaction markers and aborted messages, which are never given, and also behind what was fetched
    and is on its way to an agent.
    """
    states = aiokafka_internals.partition_states(_client(app))
    return {from_client(tp): state.position for tp, state in states.items()}


def held(app: faust.App) -> dict[TopicPartition, int]:
    """The partitions that are paused because they cannot be read, and the offsets where they stopped."""
    states = aiokafka_internals.partition_states(_client(app))
    return {from_client(tp): state.position for tp, state in states.items() if state.paused}


async def hold(app: faust.App, source: TopicPartition) -> None:
    """Read nothing more of a partition."""
    await _thread(app).call_thread(_client(app).pause, to_aiokafka(source))


async def release(app: faust.App, source: TopicPartition, offset: int | None) -> None:
    """Read on, from an offset or from where the partition stands."""
    if offset is not None:
        await app.consumer.seek(TP(source.topic, source.partition), offset)
    await _thread(app).call_thread(_client(app).resume, to_aiokafka(source))


async def committed_offset(app: faust.App, source: TopicPartition) -> int | None:
    """The group's committed offset of an assigned partition as the broker has it, or None."""
    offset: int | None = await _thread(app).call_thread(_client(app).committed, to_aiokafka(source))
    return offset


async def commits_of(app: faust.App, sources: Collection[TopicPartition]) -> dict[TopicPartition, OffsetAndMetadata]:
    """What the group has committed of assigned partitions, with its metadata."""
    partitions = [to_aiokafka(source) for source in sources]
    found = await _thread(app).call_thread(aiokafka_internals.fetch_commits, _client(app), partitions)
    return {from_client(tp): one for tp, one in found.items() if one.offset >= 0}


async def commit(app: faust.App, offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> bool:
    """Commit offsets of assigned partitions; False if they are not ours any more.

    The client's plain commit: Faust's would commit its own acknowledgements, and has no room for metadata.
    """
    partitions = {to_aiokafka(source): one for source, one in offsets.items()}
    try:
        await _thread(app).call_thread(_client(app).commit, partitions)
    except (CommitFailedError, IllegalStateError, UnknownTopicOrPartitionError) as error:
        log.warning("offsets not committed, since the partitions went elsewhere or their topic is gone: %s", error)
        return False
    return True


def producer_of(app: faust.App) -> aiokafka.AIOKafkaProducer:
    """aiokafka's producer, with which Faust sends."""
    return cast(Producer, app.producer)._ensure_producer()


def table_partition(table: faust.Table[bytes, bytes], partition: int) -> Any:
    """RocksDB of one partition of a table; Faust opens it when it recovers the table."""
    return cast(Store, table.data)._db_for_partition(partition)


def copies_of_others(app: faust.App) -> dict[TopicPartition, bool]:
    """The changelog partitions of which this worker keeps a copy for others, and whether each has caught up.

    It has when it has what was there at the end of the last rebalance.
    """
    recovery = cast(TableManager, app.tables).recovery
    ends, offsets = recovery.standby_highwaters, recovery.standby_offsets
    return {
        from_client(tp): tp in ends and (ends[tp] < 0 or (offsets.get(tp) is not None and offsets[tp] >= ends[tp]))
        for tp in set(recovery.standby_tps)
    }


def empty_partition(table: faust.Table[bytes, bytes], partition: int) -> None:
    """Remove the copy of one partition of a table, and begin an empty one."""
    store = cast(Store, table.data)
    db = store._dbs.pop(partition, None)
    if db is not None:
        db.close()
    shutil.rmtree(store.partition_path(partition), ignore_errors=True)
    store._db_for_partition(partition)


def stored_offset(store: Any) -> int | None:
    """The changelog offset that one partition of a table has."""
    stored = store.get(Store.offset_key)
    return None if stored is None else int(stored)


def write_entries(store: Any, entries: Iterable[tuple[bytes, bytes | None]], offset: int) -> None:
    """Write entries (None deletes) to one partition of a table, and at once the changelog offset that it then has."""
    import rocksdict  # which only roles with tables have

    batch = rocksdict.WriteBatch(raw_mode=True)
    for key, value in entries:
        if value is None:
            batch.delete(key)
        else:
            batch.put(key, value)
    batch.put(Store.offset_key, str(offset).encode())
    store.write(batch)


def table_entries(table: faust.Table[bytes, bytes], partition: int) -> Iterator[tuple[bytes, bytes]]:
    """All entries of one partition of a table, without the offset that Faust keeps among them."""
    found: Iterator[tuple[bytes, bytes]]
    found = iter(cast(Store, table.data)._visible_items(table_partition(table, partition)))
    return found
