"""Marks in Redis that say how far each partition was written, by which a sink notices that Redis has lost something.

A server has one mark for each partition. A cluster has one on each shard, since a shard loses its last writes by
itself when a replica takes over that did not have them yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import redis

from schemas.partition import TopicPartition
from sinks.redis.cluster import Cluster
from sinks.redis.keys import Keys
from sinks.redis.values import values_of

_ADVANCE = (Path(__file__).parent / "advance.lua").read_text("utf-8")


class Marks:
    """The marks of partitions. Every method raises ``redis.RedisError`` if a server does not answer."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        """``keys`` has the prefix of the keys."""
        self._redis = client
        self._keys = keys

    def read(self, partitions: Sequence[TopicPartition]) -> list[int]:
        """How far each partition was certainly written: the lowest mark of all shards, and 0 where one has none."""
        names = [self._name(partition, tag) for partition in partitions for tag in self._tags()]
        found = [number_in(text) for text in values_of(self._redis, names)]
        each = len(found) // max(1, len(partitions))
        return [min(found[at * each : (at + 1) * each]) for at in range(len(partitions))]

    def advance(
        self, offsets: Mapping[TopicPartition, int], before: Mapping[TopicPartition, int]
    ) -> list[TopicPartition]:
        """Set the marks to these offsets after all that is before them was written.

        Returns:
            The partitions whose mark was lower than before, so something is lost; their marks stay as they are.
        """
        pipeline = self._redis.pipeline(transaction=False)
        for tag in self._tags():
            names = [self._name(partition, tag) for partition in offsets]
            numbers = [number for one, offset in offsets.items() for number in (before.get(one, 0), offset)]
            pipeline.eval(_ADVANCE, len(names), *names, *numbers)
        advanced = pipeline.execute()
        return [one for at, one in enumerate(offsets) if not all(shard[at] for shard in advanced)]

    def forget(self, partitions: Sequence[TopicPartition]) -> None:
        """Remove the marks of partitions."""
        pipeline = self._redis.pipeline(transaction=False)
        for partition in partitions:
            for tag in self._tags():
                pipeline.unlink(self._name(partition, tag))
        pipeline.execute()

    def _name(self, partition: TopicPartition, shard_tag: str | None) -> str:
        return self._keys.written(partition.topic, partition.partition, shard_tag)

    def _tags(self) -> Sequence[str | None]:
        """A hash tag for each shard of a cluster; of a server there is one mark, without a tag."""
        return list(self._redis.shard_tags().values()) if isinstance(self._redis, Cluster) else [None]


def number_in(mark: str | None) -> int:
    """What a mark says; one that is none says nothing."""
    return int(mark) if mark is not None and mark.isascii() and mark.isdecimal() else 0
