"""Checks the logs: records and open transactions that keep every reader from going on."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping

from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streams.kafka.connection import KafkaUnavailable
from streams.kafka.consumer_groups import committed_offsets, group_id
from streams.kafka.messages import TopicPartition
from streams.kafka.offsets import appended_offsets, first_offsets, next_offsets
from streams.kafka.record_batches import BatchFetcher
from streams.kafka.topics import Topic
from streams.kafka.unreadable import PassedBatches, UnreadableBatch, look_with
from streams.operations.doctor.finding import Finding, fail, warn
from streams.operations.doctor.remedies import Remedy
from streams.settings import Settings
from streams.text import pluralize
from streams.topology import READS

_LONG_S = 5.0
"""Transactions that end sooner than this are not reported."""


def check(admin: AdminClient, settings: Settings, counts: Mapping[Topic, int]) -> Iterator[Finding]:
    """Find records that cannot be read at the position of a role, and transactions that a producer has left open."""
    yield from _unreadable(admin, settings, counts)
    parts = [
        TopicPartition(topic.named(settings), number) for topic, count in counts.items() for number in range(count)
    ]
    try:
        readable, appended = next_offsets(admin, parts), appended_offsets(admin, parts)
        held = {source: end for source, end in readable.items() if end < appended[source]}
        since = asyncio.run(_began(settings, held))
    except (KafkaUnavailable, KafkaError, OSError) as error:
        yield fail("transactions", f"the logs cannot be looked at: {error}", Remedy.BROKERS_LOGS())
        return
    for source, began in sorted(since.items(), key=lambda one: (one[0].topic, one[0].partition)):
        age_s = time.time() - began
        if age_s > _LONG_S:
            waiting = appended[source] - held[source]
            yield warn(
                f"transaction on {source.topic} {source.partition}",
                f"a producer has not ended it for {age_s:.0f} s; "
                f"{pluralize(waiting, 'message waits', 'messages wait')} from offset {held[source]} on, "
                "also those of others",
                Remedy.OPEN_TRANSACTION(),
            )


def _unreadable(admin: AdminClient, settings: Settings, counts: Mapping[Topic, int]) -> Iterator[Finding]:
    """Read at the position of each role, in the partitions in which it has a lag."""
    try:
        waiting: dict[TopicPartition, set[int]] = defaultdict(set)
        for role, topics in READS.items():
            committed = committed_offsets(settings, group_id(role, settings))
            parts = [TopicPartition(topic.named(settings), n) for topic in topics for n in range(counts.get(topic, 0))]
            firsts, ends = first_offsets(admin, parts), next_offsets(admin, parts)
            for source, end in ends.items():
                at = max(firsts[source], committed.get(source, 0))
                if at < end:
                    waiting[source].add(at)
        found = asyncio.run(_look(settings, waiting))
        passes = PassedBatches(settings)
        left = [one for one in found if not passes.has(one)]
    except (KafkaUnavailable, KafkaError, KafkaException, OSError) as error:
        yield fail("logs", f"they cannot be looked at: {error}", Remedy.BROKERS_LOGS())
        return
    for one in left:
        yield fail(
            f"log of {one.source.topic} {one.source.partition}",
            f"it {one.what}; nothing behind that is processed",
            Remedy.SKIP_UNREADABLE(topic=one.source.topic, partition=one.source.partition, offset=one.offset),
        )


async def _look(settings: Settings, waiting: Mapping[TopicPartition, Collection[int]]) -> list[UnreadableBatch]:
    found: set[UnreadableBatch] = set()
    if waiting:
        async with BatchFetcher(settings) as fetching:
            for source, offsets in waiting.items():
                looked_at = [await look_with(fetching, source, at) for at in offsets]
                found.update(one for one in looked_at if one is not None)
    return sorted(found, key=lambda one: (one.source.topic, one.source.partition, one.offset))


async def _began(settings: Settings, held: Mapping[TopicPartition, int]) -> dict[TopicPartition, float]:
    """The time of the first batch of each partition's first open transaction, in seconds since 1970."""
    began: dict[TopicPartition, float] = {}
    if not held:
        return began
    async with BatchFetcher(settings) as fetching:
        for source, offset in held.items():
            fetched = await fetching.fetch(source, offset)
            if fetched.batches:
                began[source] = fetched.batches[0].timestamp_ms / 1000
    return began
