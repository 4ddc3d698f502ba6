"""Committed offsets of a Faust application's partitions, asked of and told to the broker past Faust.

Faust's own commit would commit its own acknowledgements, and has no room for metadata.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping
from typing import cast

import aiokafka
import faust
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError, UnknownTopicOrPartitionError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers.aiokafka import Consumer
from faust.types import TP

from streams.kafka.commit_metadata import CommitMetadata
from streams.kafka.connection import KafkaUnavailable
from streams.kafka.log_ends import LogEnds
from streams.kafka.messages import TopicPartition
from streams.kafka.topic_identity import is_void

log = logging.getLogger(__name__)

_AGAIN_S = 0.5


async def committed_offset(app: faust.App, source: TopicPartition) -> int | None:
    """The group's committed offset of an assigned partition as the broker has it, or None."""
    thread = cast(Consumer, app.consumer)._thread
    consumer = thread._ensure_consumer()
    offset: int | None = await thread.call_thread(consumer.committed, TP(source.topic, source.partition))
    return offset


async def commit(app: faust.App, offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> bool:
    """Commit offsets of assigned partitions; False if they are not ours any more.

    The client's plain commit: Faust's would commit its own acknowledgements, and has no room for metadata.
    """
    thread = cast(Consumer, app.consumer)._thread
    consumer = thread._ensure_consumer()
    parts = {aiokafka.TopicPartition(source.topic, source.partition): one for source, one in offsets.items()}
    try:
        await thread.call_thread(consumer.commit, parts)
    except (CommitFailedError, IllegalStateError, UnknownTopicOrPartitionError) as error:
        log.warning("offsets not committed, since the partitions went elsewhere or their topic is gone: %s", error)
        return False
    return True


async def forget_void_offsets(app: faust.App, log_ends: LogEnds, topics: Collection[str]) -> dict[str, str]:
    """Commit the beginning of each assigned partition whose committed offset is of an earlier topic of its name.

    Waits for Kafka. To be called when the partitions are assigned and nothing of them has been read.

    Returns:
        The ids of the topics, as far as they are there.
    """
    generation = app.consumer_generation_id
    while not app.should_stop and generation == app.consumer_generation_id:
        try:
            return await _forget_void_offsets(app, log_ends, topics)
        except (KafkaError, KafkaUnavailable, OSError) as error:
            log.warning("the committed offsets cannot be checked: %r; trying again", error)
            await asyncio.sleep(_AGAIN_S)
    return {}


async def _forget_void_offsets(app: faust.App, log_ends: LogEnds, topics: Collection[str]) -> dict[str, str]:
    ids = await log_ends.topic_ids(topics)
    sources = [TopicPartition(tp.topic, tp.partition) for tp in app.consumer.assignment() if tp.topic in ids]
    sources = [source for source in sources if source.topic in topics]
    known = await _commits(app, sources)
    ends = await log_ends.next(known) if known else {}
    void = [
        source
        for source, one in known.items()
        if is_void(one.offset, CommitMetadata.parse(one.metadata), ids.get(source.topic), ends.get(source, 0))
    ]
    if void:
        log.warning("read from the beginning, since the topic was created again: %s", ", ".join(map(str, void)))
        notes = {source: CommitMetadata(topic_id=ids.get(source.topic)).now() for source in void}
        firsts = await log_ends.first(void)
        await commit(app, {source: OffsetAndMetadata(firsts.get(source, 0), notes[source]) for source in void})
    return ids


async def _commits(app: faust.App, sources: Collection[TopicPartition]) -> dict[TopicPartition, OffsetAndMetadata]:
    """What the group has committed of assigned partitions."""
    thread = cast(Consumer, app.consumer)._thread
    coordinator = thread._ensure_consumer()._coordinator
    parts = [aiokafka.TopicPartition(source.topic, source.partition) for source in sources]
    found = await thread.call_thread(coordinator.fetch_committed_offsets, parts)
    return {TopicPartition(tp.topic, tp.partition): one for tp, one in found.items() if one.offset >= 0}
