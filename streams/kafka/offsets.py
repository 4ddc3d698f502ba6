"""Where the logs of partitions begin and end now.

Threads ask with an admin client (:func:`first_offsets`, :func:`next_offsets`, :func:`appended_offsets`), event loops
with :class:`AsyncOffsets`, which answers the same questions and more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass

import aiokafka
import tenacity
from aiokafka.errors import CorruptRecordException, KafkaError
from confluent_kafka import IsolationLevel, KafkaException
from confluent_kafka.admin import AdminClient, OffsetSpec

from streams.kafka.async_connection import async_consumer
from streams.kafka.connection import ISOLATION, KafkaUnavailable, admin_client, answer, not_yet
from streams.kafka.messages import TopicPartition, from_client, to_aiokafka, to_confluent
from streams.kafka.topic_identity import topic_identities
from streams.settings import Settings

_REQUEST_TIMEOUT_S = 15.0
_READ_MS = 1_000
_STOP_S = 1.0
_ENDING_S = 1.0
"""A producer's commit is confirmed before the brokers have marked it in the log; that much later they surely have."""


def first_offsets(admin: AdminClient, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
    """The offset of the first message that is still there.

    Raises:
        KafkaUnavailable: a partition has no leader.
    """
    return _offsets(admin, partitions, OffsetSpec.earliest())


def next_offsets(admin: AdminClient, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
    """The offset behind all that may be read: what lies behind a transaction that a producer has
    not ended counts as not there yet.

    Raises:
        KafkaUnavailable: a partition has no leader.
    """
    return _offsets(admin, partitions, OffsetSpec.latest())


def appended_offsets(admin: AdminClient, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
    """The offset that the next message will get; see :func:`next_offsets`.

    Raises:
        KafkaUnavailable: a partition has no leader.
    """
    return _offsets(admin, partitions, OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED)


def _offsets(
    admin: AdminClient,
    partitions: Collection[TopicPartition],
    at: OffsetSpec,
    isolation: IsolationLevel = IsolationLevel.READ_COMMITTED,
) -> dict[TopicPartition, int]:
    if not partitions:
        return {}
    request = tenacity.Retrying(
        retry=tenacity.retry_if_exception(not_yet),
        stop=tenacity.stop_after_delay(_REQUEST_TIMEOUT_S),
        wait=tenacity.wait_fixed(0.1),
        reraise=True,
    )
    try:
        return request(_request_offsets, admin, partitions, at, isolation)
    except KafkaException as error:
        raise KafkaUnavailable(f"the topics' offsets cannot be read: {error.args[0].str()}") from error


def _request_offsets(
    admin: AdminClient, partitions: Collection[TopicPartition], at: OffsetSpec, isolation: IsolationLevel
) -> dict[TopicPartition, int]:
    futures = admin.list_offsets(
        dict.fromkeys(map(to_confluent, partitions), at), request_timeout=_REQUEST_TIMEOUT_S, isolation_level=isolation
    )
    return {from_client(tp): answer(future, _REQUEST_TIMEOUT_S).offset for tp, future in futures.items()}


class OpenTransactions:
    """What to take for the end of a partition in which a producer has a transaction.

    What lies behind its beginning cannot be read before it ends, and nobody else's messages may wait for that. But a
    transaction whose commit was confirmed looks open for a moment: what it holds counts as there.
    """

    def __init__(self) -> None:
        self._ending: dict[TopicPartition, tuple[int, float]] = {}
        self._open: dict[TopicPartition, int] = {}

    def ends(
        self, readable: Mapping[TopicPartition, int], appended: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, int]:
        """The ends to wait for, given the offsets behind all that may be read, and behind all there is."""
        return {source: self._end(source, end, appended.get(source, end)) for source, end in readable.items()}

    def _end(self, source: TopicPartition, readable: int, appended: int) -> int:
        if appended <= readable:
            self._ending.pop(source, None)
            self._open.pop(source, None)
            return readable
        if self._open.get(source) == readable:
            return readable
        now = time.monotonic()
        end, since = self._ending.setdefault(source, (appended, now))
        if readable < end and now - since < _ENDING_S:
            return end
        if readable < end:
            self._open[source] = readable
        del self._ending[source]
        return readable


@dataclass(frozen=True, slots=True)
class _Clients:
    """One that reads what is committed, and one that sees what else there is."""

    committed: aiokafka.AIOKafkaConsumer
    all: aiokafka.AIOKafkaConsumer


class AsyncOffsets:
    """The same for an event loop, with aiokafka, on connections of its own.

    Behind a fetch of the consumer that reads, which waits for messages, a question would wait as long.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clients: _Clients | None = None
        self._transactions = OpenTransactions()
        self._reading = asyncio.Lock()
        self._passed: dict[TopicPartition, list[tuple[int, int]]] = {}

    async def first_offsets(self, sources: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset of the first message that is still there, or of the next one in an empty log.

        Raises:
            KafkaError: no answer; ask again.
        """
        offsets = await (await self._connected()).committed.beginning_offsets(list(map(to_aiokafka, sources)))
        return {from_client(tp): offset for tp, offset in offsets.items()}

    async def next_offsets(self, sources: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset that the next message will get; in a partition with an open transaction, that of its first one.

        Raises:
            KafkaError: no answer; ask again.
        """
        clients, tps = await self._connected(), list(map(to_aiokafka, sources))
        appended, readable = await asyncio.gather(clients.all.end_offsets(tps), clients.committed.end_offsets(tps))
        return self._transactions.ends(
            {from_client(tp): offset for tp, offset in readable.items()},
            {from_client(tp): offset for tp, offset in appended.items()},
        )

    async def holds_messages(self, source: TopicPartition, start: int, end: int) -> bool:
        """Whether a partition has a message from ``start`` to before ``end``.

        A transaction's mark is none, nor is what a producer has taken back.

        Raises:
            KafkaError: no answer; ask again.
        """
        for first, behind in self._passed.get(source, ()):
            if start < behind and first < end:
                before = first > start and await self.holds_messages(source, start, first)
                return before or (behind < end and await self.holds_messages(source, behind, end))
        try:
            return await self._holds_messages(source, start, end)
        except KafkaError:
            raise
        except Exception as error:  # of a library that decompresses
            raise CorruptRecordException(f"{source} cannot be read between {start} and {end}: {error!r}") from error

    def pass_over(self, source: TopicPartition, first: int, end: int) -> None:
        """Look for no messages from ``first`` to before ``end``, which cannot be read."""
        self._passed.setdefault(source, []).append((first, end))

    async def _holds_messages(self, source: TopicPartition, start: int, end: int) -> bool:
        client = (await self._connected()).committed
        tp = to_aiokafka(source)
        async with self._reading:
            client.assign([tp])
            try:
                client.seek(tp, max(start, (await client.beginning_offsets([tp]))[tp]))
                while await client.position(tp) < end:
                    for record in (await client.getmany(tp, timeout_ms=_READ_MS, max_records=1)).get(tp, []):
                        return bool(record.offset < end)
                return False
            finally:
                client.unsubscribe()

    async def past_marks(
        self, done: Mapping[TopicPartition, int], reached: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, int]:
        """Where reading has come to, of the partitions in which no message lies between that and what is done.

        Raises:
            KafkaError: no answer; ask again.
        """
        ahead = {source: end for source, end in reached.items() if end > done.get(source, end)}
        return {
            source: end for source, end in ahead.items() if not await self.holds_messages(source, done[source], end)
        }

    async def topic_ids(self, topics: Collection[str]) -> dict[str, str]:
        """The ids of those topics that exist.

        Raises:
            KafkaUnavailable: no answer; ask again.
        """
        found = await asyncio.to_thread(topic_identities, admin_client(self._settings), topics)
        return {name: one.topic_id for name, one in found.items()}

    async def close(self) -> None:
        """Disconnect."""
        if self._clients is not None:
            clients, self._clients = self._clients, None
            await asyncio.gather(_stop(clients.committed), _stop(clients.all))

    async def _connected(self) -> _Clients:
        if self._clients is None:
            committed = async_consumer(self._settings, ISOLATION)
            everything = async_consumer(self._settings, "read_uncommitted")
            try:
                await committed.start()
                await everything.start()
            except (KafkaError, asyncio.CancelledError):
                await committed.stop()
                await everything.stop()
                raise
            self._clients = _Clients(committed, everything)
        return self._clients


async def _stop(client: aiokafka.AIOKafkaConsumer) -> None:
    """Disconnect; aiokafka's fetching misses its end just after a change of what is assigned, but not a second time."""
    with suppress(TimeoutError):
        await asyncio.wait_for(client.stop(), _STOP_S)
