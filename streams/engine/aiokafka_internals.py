"""Every private attribute of aiokafka that facestream reads or replaces, because aiokafka has no public way to it.

aiokafka is pinned exactly. ``tests/streams/engine/test_aiokafka_internals.py`` checks each name that is used here, so
that an upgrade that moves one fails with its name.
"""

from __future__ import annotations

import asyncio
import collections
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import aiokafka
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import RecordTooLargeError
from aiokafka.structs import OffsetAndMetadata

from streams.kafka.connection import ISOLATION

log = logging.getLogger(__name__)

_FETCH_WAIT_MS = 20
_IDLE_FETCH_WAIT_MS = 500


def read_committed(consumer: aiokafka.AIOKafkaConsumer) -> None:
    """Let a consumer read only what is committed; to be called before it starts, when it tells its fetcher."""
    consumer._isolation_level = ISOLATION


def fetch_promptly(
    consumer: aiokafka.AIOKafkaConsumer, is_taken: Callable[[aiokafka.TopicPartition], bool] = lambda tp: True
) -> None:
    """Keep fetches that leave partitions out short.

    aiokafka has one fetch under way at a time. While that one waits, nothing new is fetched for the partitions that it
    left out because their last messages had not been taken yet, or because they were paused. Faust lets it wait for
    1.5 s and has no setting for it. A fetch of all partitions may wait: it ends as soon as there is a message.

    Args:
        consumer: the consumer.
        is_taken: whether anybody will take what was fetched of a partition; if not, no fetch is kept short for it.
    """
    fetcher = consumer._fetcher
    if "_get_actions_per_node" in vars(fetcher):
        return
    get_actions = fetcher._get_actions_per_node

    def get_timed_actions(assignment: Any) -> Any:
        states = map(assignment.state_value, assignment.tps)
        left_out = any(map(is_taken, fetcher._records))
        idle = not left_out and all(state.has_valid_position and not state.paused for state in states)
        fetcher._fetch_max_wait_ms = _IDLE_FETCH_WAIT_MS if idle else _FETCH_WAIT_MS
        return get_actions(assignment)

    fetcher._get_actions_per_node = get_timed_actions


class _GuardedRecords(collections.OrderedDict[Any, Any]):
    """What aiokafka has fetched and not given yet, by partition.

    aiokafka raises what it cannot decode out of its fetching, with what it read before lost, and Faust ends the worker.
    Here the messages before it are given, and the partition is paused where it cannot be read. Faust itself never
    pauses with aiokafka's means, so a partition that is paused is one of these.
    """

    def __init__(self, consumer: aiokafka.AIOKafkaConsumer) -> None:
        super().__init__()
        self._consumer = consumer

    def __setitem__(self, tp: Any, result: Any) -> None:
        if type(result) is FetchResult:
            records = result._partition_records
            records._records_iterator = self._readable(tp, records._records_iterator)
        elif isinstance(result._error, RecordTooLargeError):  # only the beginning of a batch is there
            position = self._state(tp).position
            self._consumer.pause(tp)
            # aiokafka goes on behind it as soon as this returns.
            asyncio.get_running_loop().call_soon(lambda: self._state(tp).seek(position))
            return
        super().__setitem__(tp, result)

    def _readable(self, tp: Any, records: Iterator[Any]) -> Iterator[Any]:
        try:
            yield from records
        except Exception as error:
            log.warning("%s %d cannot be read on: %r", tp.topic, tp.partition, error)
            self._consumer.pause(tp)

    def _state(self, tp: Any) -> Any:
        return self._consumer._subscription.subscription.assignment.state_value(tp)


def guard(consumer: aiokafka.AIOKafkaConsumer) -> None:
    """Let a started consumer pause a partition that it cannot decode, instead of raising."""
    consumer._fetcher._records = _GuardedRecords(consumer)


def partition_states(consumer: aiokafka.AIOKafkaConsumer) -> dict[aiokafka.TopicPartition, Any]:
    """What a consumer knows of its assigned partitions that have a position."""
    subscription = consumer._subscription.subscription
    assignment = None if subscription is None else subscription.assignment
    if assignment is None:
        return {}
    states = {tp: assignment.state_value(tp) for tp in assignment.tps}
    return {tp: state for tp, state in states.items() if state is not None and state.has_valid_position}


async def fetch_commits(
    consumer: aiokafka.AIOKafkaConsumer, partitions: Collection[aiokafka.TopicPartition]
) -> Mapping[aiokafka.TopicPartition, OffsetAndMetadata]:
    """What the consumer's group has committed, with the metadata that ``consumer.committed`` leaves out."""
    found: Mapping[aiokafka.TopicPartition, OffsetAndMetadata]
    found = await consumer._coordinator.fetch_committed_offsets(partitions)
    return found


async def partition_of_key(
    producer: aiokafka.AIOKafkaProducer, topic: str, key: bytes | None, value: bytes | None
) -> int:
    """The partition to which a producer would send a message."""
    await producer.partitions_for(topic)
    partition: int = producer._partition(topic, None, key, value, key, value)
    return partition
