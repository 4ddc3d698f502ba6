"""One stage of the pipeline: take messages in order, let them have their effect, commit.

Faust reads, assigns partitions and keeps tables. What it does about acknowledging is not used, because there a commit
can pass a message that is still in flight (faust-streaming #606, #189, #315, and messages skipped after a rebalance are
acknowledged), and a failed commit counts as done (#316). Instead a stage commits, itself and only, the offsets of
batches whose effects were delivered: effects, then outputs, then offsets. Its topics are declared with ``acks=False``.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import faust
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata
from faust.types import TP

from streams import traces
from streams.engine.content_reader import ContentReader
from streams.engine.fair_order import KNOWN_MESSAGES, FairOrder
from streams.engine.faust_internals import commit, positions
from streams.engine.faust_offsets import FaustOffsets, forget_void_offsets
from streams.engine.gap_check import GapCheck
from streams.engine.processed_offsets import ProcessedOffsets
from streams.engine.read_ahead import ReadAhead, StageOffsets
from streams.kafka.commit_metadata import CommitMetadata, ShardSize
from streams.kafka.connection import KafkaUnavailable
from streams.kafka.messages import Message, TopicPartition
from streams.kafka.offsets import AsyncOffsets
from streams.observability import logs
from streams.observability.faults import Fault, fault_of
from streams.observability.heartbeat import WorkerHeartbeat

log = logging.getLogger(__name__)

Process = Callable[[Sequence[Message]], Awaitable[None]]
"""Gives a batch its effect and returns when every effect and output was delivered. Called again with the same batch, or
with parts of it, if it raises, so it must be idempotent."""
Reject = Callable[[Message, Exception, int], Awaitable[None]]
"""Gives up one message that failed so many times, and returns when its dead letter was delivered."""

_HANDOVER_S = 3.0
"""How long a rebalance waits for the batch in hand; well below the session time-out."""
_RETRY_S = (0.2, 5.0)
"""First and longest pause before a batch is tried again."""
_FEWEST = 8
"""Messages of a batch at least, if there are so many."""
_ATTEMPTS = 3
"""So many failures of its own doing split a batch, and turn a single message into a dead letter."""
_BATCH_S = 0.1
"""A batch is as large as can be expected to be done in this time, so that urgent messages wait no longer for it."""
_SMOOTHING = 0.3
"""Weight of the last batch in the time that a message is expected to take."""
_SHORT = 32
"""A partition with fewer messages waiting is not read ahead any more."""
_NONE = -1
"""No generation of the consumer group."""


class Stage:
    """Runs ``process`` over the messages of co-partitioned topics, in the order of :class:`FairOrder`."""

    def __init__(
        self,
        app: faust.App,
        order: FairOrder,
        process: Process,
        reject: Reject,
        log_offsets: AsyncOffsets,
        contents: ContentReader,
        ahead: ReadAhead,
        *,
        role: str,
        batch_size: int,
        batch_wait_ms: float,
        commit_interval_s: float,
        sizes: Callable[[], Mapping[int, ShardSize]] = dict,
    ) -> None:
        """``sizes`` are those of the gallery shards by partition, which each commit tells to ops."""
        self._app = app
        self._process = process
        self._reject = reject
        self._log_offsets = log_offsets
        self.pass_over = log_offsets.pass_over
        self._batch_size = batch_size
        self._batch_wait_s = batch_wait_ms / 1000
        self._commit_interval_s = commit_interval_s
        self._sizes = sizes
        self._order = order
        self._contents = contents
        self._ahead = ahead
        self._full: set[TopicPartition] = set()
        self._processed = ProcessedOffsets()
        self._message_s: float | None = None
        self._committed: dict[TopicPartition, int] = {}
        self._gaps = GapCheck(self._order, log_offsets, StageOffsets(FaustOffsets(app), ahead))
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False
        self._closed = False
        self._generation = _NONE
        self._revoked = _NONE
        self._wanted = asyncio.Event()
        self._reader = ThreadPoolExecutor(1, "contents")
        self.topics = order.topics
        self.heartbeat = WorkerHeartbeat(role)
        self.heartbeat.held = self._full
        self._topic_ids: Mapping[str, str] = {}
        app.on_partitions_revoked.connect(self._on_revoked)
        app.on_rebalance_complete.connect(self._on_assigned)
        channel = app.topic(*self.topics, key_serializer="raw", value_serializer="raw", allow_empty=True, acks=False)
        app.agent(channel, name="-".join(self.topics))(self._read)
        app.task(self._run)
        app.task(self._read_again)
        app.task(self._read_ahead)
        app.task(self._commit_regularly)

    async def drain(self) -> None:
        """Take nothing more, finish the batch in hand, and commit it."""
        self._draining = True
        await self._idle.wait()
        await self._commit()
        await self.close()

    async def close(self) -> None:
        """Disconnect; what :meth:`drain` does in the end, and needs to be called only without it."""
        if self._closed:
            return
        self._closed = True
        self._reader.submit(self._contents.close)
        self._reader.shutdown(wait=False)
        self._ahead.close()
        await self._log_offsets.close()

    async def _read(self, stream: faust.StreamT[Any]) -> None:
        """The agent: move messages from Faust's stream into the buffer, never waiting for what becomes of them."""
        async for event in stream.events():
            message = event.message
            if message.generation_id in (self._revoked, _NONE):
                continue
            if message.generation_id != self._generation:
                self._begin(message.generation_id)
            source = TopicPartition(message.topic, message.partition)
            self._arrives(
                Message(
                    source,
                    message.offset,
                    round(message.timestamp * 1000),
                    message.key,
                    message.value,
                    tuple(message.headers or ()),
                )
            )
            if self._order.waiting(source) > KNOWN_MESSAGES and source not in self._ahead:
                self._full.add(source)
                self._app.consumer.on_buffer_full(TP(source.topic, source.partition))
            self._ahead.look_at(source, message.offset)

    async def _read_ahead(self) -> None:
        """Buffer what is read of partitions of which Faust's consumer is far behind."""
        while not (self._app.should_stop or self._draining):
            messages = await self._ahead.read()
            if self._generation in (self._revoked, _NONE):
                continue
            for message in messages:
                self._arrives(message)
            sources = {message.source for message in messages}
            for source in {one for one in sources if self._order.waiting(one) > KNOWN_MESSAGES}:
                self._full.add(source)
                await self._give_back(source, read_on=False)
            for source in self._ahead.to_give_back(lambda one: self._order.waiting(one) < _SHORT):
                await self._give_back(source)

    async def _give_back(self, source: TopicPartition, *, read_on: bool = True) -> None:
        offset = self._order.next_offset(source)
        if offset is not None:  # None: a rebalance has forgotten it meanwhile, and begins anew
            await self._ahead.give_back(source, offset, read_on=read_on)

    def _arrives(self, message: Message) -> None:
        source, offset = message.source, message.offset
        self._gaps.arrives(source, offset)
        if self._order.add(message):
            self._processed.arrives(source, offset)
        self.heartbeat.arrived(source, offset)
        self._arrived.set()

    async def _run(self) -> None:
        async for batch in self._batches():
            generation, began = self._generation, time.monotonic()
            try:
                await self._retry(batch)
                took_s = (time.monotonic() - began) / len(batch)
                before_s = self._message_s or took_s
                self._message_s = before_s + _SMOOTHING * (took_s - before_s)
                if generation == self._generation:
                    self._processed.done(batch)
                    self.heartbeat.processed(len(batch))
                    self.heartbeat.reached(batch)
            finally:
                self.heartbeat.ended()
                self._idle.set()

    async def _batches(self) -> AsyncIterator[list[Message]]:
        while not self._app.should_stop:
            self.heartbeat.turned()
            if not len(self._order):
                self._arrived.clear()
                await _wait(self._arrived, 1.0)
                continue
            limit = self._limit()
            if len(self._order) < limit:
                await asyncio.sleep(self._batch_wait_s)
            generation = self._generation
            try:
                await self._gaps.verify()
                caught_up = await self._gaps.caught_up()
            except (KafkaError, OSError) as error:
                log.warning("the ends of the logs are not known: %r; waiting", error)
                self.heartbeat.failed(Fault.SERVICE, error)
                await asyncio.sleep(_RETRY_S[0])
                continue
            self.heartbeat.succeeded()
            if self._gaps.found:  # One more while the brokers were asked: nothing behind it may be taken.
                continue
            if self._draining or generation != self._generation:
                await asyncio.sleep(self._batch_wait_s)
                continue
            batch = self._order.take(limit, caught_up.__contains__)
            self._wanted.set()
            self._resume_fetching()
            if not batch:
                self._arrived.clear()
                await _wait(self._arrived, 0.01)
                continue
            self._idle.clear()
            yield batch

    def _limit(self) -> int:
        """The number of messages of the next batch."""
        if self._message_s is None:
            return self._batch_size
        return min(self._batch_size, max(_FEWEST, round(_BATCH_S / max(self._message_s, 1e-6))))

    async def _read_again(self) -> None:
        """Have contents at hand before the turn of their messages comes."""
        loop = asyncio.get_running_loop()
        while not (self._app.should_stop or self._draining):
            one = self._order.wanted()
            if one is None:
                self._wanted.clear()
                await _wait(self._wanted, 1.0)
                continue
            generation = self._generation
            try:
                messages, end = await loop.run_in_executor(self._reader, self._contents.read, one.source, one.offset)
            except KafkaUnavailable as error:
                log.warning("messages that wait are not there yet: %s", error)
                await asyncio.sleep(_RETRY_S[0])
                continue
            if generation != self._generation:
                continue
            gone = self._order.fill(one.source, one.offset, end, messages)
            if gone:
                log.error("%d messages of %s are not in the log any more: they waited too long", len(gone), one.source)
            for offset in gone:
                self._processed.pass_over(one.source, offset)
            self._arrived.set()

    async def _retry(self, batch: Sequence[Message]) -> None:
        """Process until it succeeds, or each message that cannot be processed has become a dead letter.

        Given up only when the partitions are gone, since their next owner does it then.
        """
        generation, pause, failures = self._generation, _RETRY_S[0], 0
        cause: Exception | None = None
        self.heartbeat.begins()
        while True:
            try:
                if cause is None or failures < _ATTEMPTS:
                    with traces.processed(
                        self.heartbeat.role, ((one.source.topic, one.value, one.headers) for one in batch)
                    ):
                        await self._process(batch)
                elif len(batch) == 1:
                    await self._reject(batch[0], cause, failures)
                else:
                    for message in batch:
                        await self._retry([message])
                self.heartbeat.succeeded()
                return
            except asyncio.CancelledError:
                raise
            except Exception as raised:
                if generation != self._generation:
                    log.warning("a batch failed after its partitions were revoked; their owner repeats it: %r", raised)
                    return
                fault = fault_of(raised)
                if fault is Fault.MESSAGE:
                    cause, failures = raised, failures + 1
                extra = logs.about_message(batch[0].key, batch[0].value) if len(batch) == 1 else None
                log.exception("a batch of %d failed; trying again in %.1f s", len(batch), pause, extra=extra)
                self.heartbeat.failed(fault, raised)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _RETRY_S[1])

    def _resume_fetching(self) -> None:
        for source in [s for s in self._full if self._order.waiting(s) < KNOWN_MESSAGES // 2]:
            self._full.discard(source)
            self._app.consumer.on_buffer_drop(TP(source.topic, source.partition))

    async def _commit_regularly(self) -> None:
        while not self._app.should_stop:
            await asyncio.sleep(self._commit_interval_s)
            if not self._app.rebalancing:
                await self._pass_marks()
                await self._commit()

    async def _pass_marks(self) -> None:
        """Count as processed what no consumer is given behind the last message, or it would seem to wait for ever."""
        generation = self._generation
        if not self._idle.is_set() or len(self._order) or generation == _NONE:
            return
        reached = {one: end for one, end in positions(self._app).items() if one.topic in self.topics}
        try:
            processed = self._processed.next_offsets()
            await self._gaps.learn_starts(reached.keys() - processed.keys())
            passed = await self._log_offsets.past_marks({**self._gaps.starts, **processed}, reached)
        except KafkaError as error:
            log.warning("what lies behind the last messages is not known: %r", error)
            return
        if generation == self._generation:
            for source, end in passed.items():
                self._processed.reached(source, end)

    async def _commit(self) -> None:
        """Commit what was processed; a partition that is not ours any more is left out."""
        assigned = self._app.consumer.assignment()
        processed = self._processed.next_offsets()
        offsets = {
            source: offset
            for source, offset in processed.items()
            if offset > self._committed.get(source, -1) and TP(source.topic, source.partition) in assigned
        }
        if not offsets:
            return
        sizes = self._sizes()
        ids = self._topic_ids
        notes = {
            one: CommitMetadata(size=sizes.get(one.partition), topic_id=ids.get(one.topic)).now() for one in offsets
        }
        if await commit(self._app, {s: OffsetAndMetadata(offset, notes[s]) for s, offset in offsets.items()}):
            self._committed.update(offsets)
            self.heartbeat.committed(offsets, all_of_it=processed == self._committed)

    async def _on_assigned(self, *_: object, **__: object) -> None:
        """Before reading goes back to the committed offsets: void those of topics that are not there any more."""
        self._topic_ids = await forget_void_offsets(self._app, self._log_offsets, self.topics)

    async def _on_revoked(self, *_: object, **__: object) -> None:
        """Hand over cleanly: finish the batch in hand, commit it, forget what is buffered."""
        # First of all nothing more may come in: behind what is forgotten here it would be committed over a gap.
        self._revoked = self._generation
        self._order.clear()
        await _wait(self._idle, _HANDOVER_S)
        await self._commit()
        self._begin(_NONE)

    def _begin(self, generation: int) -> None:
        """Forget what was known of the partitions of the generation before."""
        self._generation = generation
        self._order.clear()
        self._gaps.clear()
        self._processed.clear()
        self._committed.clear()
        self._full.clear()
        self._ahead.clear()
        self.heartbeat.reassigned()


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), timeout_s)
    except TimeoutError:
        return
