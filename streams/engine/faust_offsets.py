"""Where the consumer of a Faust application stands; voids its commits of topics that were created again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

import faust
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata
from faust.types import TP

from streams.engine.faust_internals import commit, commits_of, committed_offset
from streams.kafka.commit_metadata import CommitMetadata
from streams.kafka.connection import KafkaUnavailable
from streams.kafka.messages import TopicPartition
from streams.kafka.offsets import AsyncOffsets
from streams.kafka.topic_identity import is_void

log = logging.getLogger(__name__)

_AGAIN_S = 0.5


class FaustOffsets:
    """The consumer of one application, of the partitions that are assigned to it."""

    def __init__(self, app: faust.App) -> None:
        self._app = app

    async def committed(self, source: TopicPartition) -> int | None:
        """The group's committed offset as the broker has it."""
        return await committed_offset(self._app, source)

    async def position(self, source: TopicPartition) -> int | None:
        """The offset that is read next."""
        position: int | None = await self._app.consumer.position(TP(source.topic, source.partition))
        return position

    async def seek(self, source: TopicPartition, offset: int) -> None:
        """Read on from there."""
        await self._app.consumer.seek(TP(source.topic, source.partition), offset)


async def forget_void_offsets(app: faust.App, log_offsets: AsyncOffsets, topics: Collection[str]) -> dict[str, str]:
    """Commit the beginning of each assigned partition whose committed offset is of an earlier topic of its name.

    Waits for Kafka. To be called when the partitions are assigned and nothing of them has been read.

    Returns:
        The ids of the topics, as far as they are there.
    """
    generation = app.consumer_generation_id
    while not app.should_stop and generation == app.consumer_generation_id:
        try:
            return await _forget_void_offsets(app, log_offsets, topics)
        except (KafkaError, KafkaUnavailable, OSError) as error:
            log.warning("the committed offsets cannot be checked: %r; trying again", error)
            await asyncio.sleep(_AGAIN_S)
    return {}


async def _forget_void_offsets(app: faust.App, log_offsets: AsyncOffsets, topics: Collection[str]) -> dict[str, str]:
    ids = await log_offsets.topic_ids(topics)
    sources = [TopicPartition(tp.topic, tp.partition) for tp in app.consumer.assignment() if tp.topic in ids]
    sources = [source for source in sources if source.topic in topics]
    known = await commits_of(app, sources)
    ends = await log_offsets.next_offsets(known) if known else {}
    void = [
        source
        for source, one in known.items()
        if is_void(one.offset, CommitMetadata.parse(one.metadata), ids.get(source.topic), ends.get(source, 0))
    ]
    if void:
        log.warning("read from the beginning, since the topic was created again: %s", ", ".join(map(str, void)))
        notes = {source: CommitMetadata(topic_id=ids.get(source.topic)).now() for source in void}
        firsts = await log_offsets.first_offsets(void)
        await commit(app, {source: OffsetAndMetadata(firsts.get(source, 0), notes[source]) for source in void})
    return ids
