"""Where the logs of partitions begin and end now."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import aiokafka
from aiokafka.errors import KafkaError

from streams.kafka import admin_client
from streams.order import TopicPartition
from streams.settings import Settings
from streams.topic_ids import topic_identities

_READ_MS = 1_000


class LogEnds:
    """Asks the brokers, on connections of its own: behind a consumer's waiting fetch a question would wait as long."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._servers = settings.kafka
        self._client: aiokafka.AIOKafkaConsumer | None = None

    async def first(self, sources: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset of the first message that is still there, or of the next one in an empty log.

        Raises:
            KafkaError: no answer; ask again.
        """
        offsets = await (await self._connected()).beginning_offsets(_tps(sources))
        return {TopicPartition(*tp): offset for tp, offset in offsets.items()}

    async def next(self, sources: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset that the next message will get.

        Raises:
            KafkaError: no answer; ask again.
        """
        offsets = await (await self._connected()).end_offsets(_tps(sources))
        return {TopicPartition(*tp): offset for tp, offset in offsets.items()}

    async def holds_messages(self, source: TopicPartition, start: int, end: int) -> bool:
        """Whether a partition has a message from ``start`` to before ``end``; a transaction's marker is none.

        Raises:
            KafkaError: no answer; ask again.
        """
        client = await self._connected()
        (tp,) = _tps([source])
        client.assign([tp])
        try:
            client.seek(tp, max(start, (await client.beginning_offsets([tp]))[tp]))
            while await client.position(tp) < end:
                for record in (await client.getmany(tp, timeout_ms=_READ_MS, max_records=1)).get(tp, []):
                    return bool(record.offset < end)
            return False
        finally:
            client.unsubscribe()

    async def topic_ids(self, topics: Collection[str]) -> dict[str, str]:
        """The ids of those topics that exist.

        Raises:
            KafkaUnavailable: no answer; ask again.
        """
        found = await asyncio.to_thread(topic_identities, admin_client(self._settings), topics)
        return {name: one.topic_id for name, one in found.items()}

    async def close(self) -> None:
        """Disconnect."""
        if self._client is not None:
            client, self._client = self._client, None
            await client.stop()

    async def _connected(self) -> aiokafka.AIOKafkaConsumer:
        if self._client is None:
            client = aiokafka.AIOKafkaConsumer(bootstrap_servers=self._servers, request_timeout_ms=10_000)
            try:
                await client.start()
            except (KafkaError, asyncio.CancelledError):
                await client.stop()
                raise
            self._client = client
        return self._client


def _tps(sources: Collection[TopicPartition]) -> list[aiokafka.TopicPartition]:
    return [aiokafka.TopicPartition(source.topic, source.partition) for source in sources]
