"""The logs themselves: what keeps a partition from being read, whoever reads it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping

from aiokafka.errors import KafkaError
from confluent_kafka import TopicPartition as Partition
from confluent_kafka.admin import AdminClient

from streams.batches import Fetching
from streams.checks.finding import Finding, fail, warn
from streams.checks.remedies import Remedy
from streams.kafka import KafkaUnavailable
from streams.log_offsets import appended_offsets, next_offsets
from streams.order import TopicPartition
from streams.settings import Settings
from streams.topics import Topic
from streams.words import counted

_LONG_S = 5.0
"""Transactions that end sooner are no matter for anybody."""


def check(admin: AdminClient, settings: Settings, counts: Mapping[Topic, int]) -> Iterator[Finding]:
    """Look for transactions that a producer has left open."""
    parts = [Partition(topic.named(settings), number) for topic, count in counts.items() for number in range(count)]
    try:
        readable, appended = next_offsets(admin, parts), appended_offsets(admin, parts)
        held = {TopicPartition(*key): end for key, end in readable.items() if end < appended[key]}
        since = asyncio.run(_began(settings, held))
    except (KafkaUnavailable, KafkaError, OSError) as error:
        yield fail("transactions", f"the logs cannot be looked at: {error}", Remedy.BROKERS_LOGS())
        return
    for source, began in sorted(since.items(), key=lambda one: (one[0].topic, one[0].partition)):
        age_s = time.time() - began
        if age_s > _LONG_S:
            waiting = appended[source.topic, source.partition] - held[source]
            yield warn(
                f"transaction on {source.topic} {source.partition}",
                f"a producer has not ended it for {age_s:.0f} s; {counted(waiting, 'message waits', 'messages wait')} "
                f"from offset {held[source]} on, also those of others",
                Remedy.OPEN_TRANSACTION(),
            )


async def _began(settings: Settings, held: Mapping[TopicPartition, int]) -> dict[TopicPartition, float]:
    """When the first open transaction of each partition wrote its first batch, seconds since 1970."""
    began: dict[TopicPartition, float] = {}
    if not held:
        return began
    async with Fetching(settings) as fetching:
        for source, offset in held.items():
            fetched = await fetching.fetch(source, offset)
            if fetched.batches:
                began[source] = fetched.batches[0].timestamp_ms / 1000
    return began
