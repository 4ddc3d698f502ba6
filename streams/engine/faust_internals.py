"""What facestream changes and looks at inside Faust and aiokafka, for which neither has a setting or a question.

``tests/streams/engine/test_faust_internals.py`` holds every name that is touched here: it says which one an upgrade
has moved.
"""

from __future__ import annotations

import asyncio
import collections
import logging
from collections.abc import Iterator
from typing import Any, cast

import aiokafka
import faust
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import RecordTooLargeError
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP

from streams.kafka.connection import ISOLATION
from streams.kafka.messages import TopicPartition

log = logging.getLogger(__name__)


class CommittedConsumer(Consumer):
    """Faust's consumer, which reads what is committed only; Faust itself does so in ``exactly_once`` alone."""

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)


class _Thread(AIOKafkaConsumerThread):
    async def on_start(self) -> None:
        await super().on_start()
        guard(self._ensure_consumer())

    def _create_worker_consumer(self, transport: Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # Before it starts, when it tells its fetcher.
        consumer._isolation_level = ISOLATION
        return consumer


class _Guarded(collections.OrderedDict[Any, Any]):
    """What aiokafka has fetched and not given yet, by partition.

    aiokafka raises what it cannot decode out of its fetching, with what it read before lost, and Faust ends the worker.
    Here the messages before are given, and the partition is paused where it cannot be read. Faust itself never pauses
    with aiokafka's means, so a partition that is paused is one of these.
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
    """Let nothing that cannot be decoded be raised by a started consumer."""
    consumer._fetcher._records = _Guarded(consumer)


def held(app: faust.App) -> dict[TopicPartition, int]:
    """The partitions that are paused since they cannot be read, and where."""
    return {source: state.position for source, state in _states(app).items() if state.paused}


async def hold(app: faust.App, source: TopicPartition) -> None:
    """Read nothing more of a partition."""
    thread = cast(Consumer, app.consumer)._thread
    await thread.call_thread(thread._ensure_consumer().pause, aiokafka.TopicPartition(source.topic, source.partition))


async def release(app: faust.App, source: TopicPartition, offset: int | None) -> None:
    """Read on, from an offset on or from where it stands."""
    thread = cast(Consumer, app.consumer)._thread
    if offset is not None:
        await app.consumer.seek(TP(source.topic, source.partition), offset)
    await thread.call_thread(thread._ensure_consumer().resume, aiokafka.TopicPartition(source.topic, source.partition))


def positions(app: faust.App) -> dict[TopicPartition, int]:
    """The offset from which each assigned partition is read on, without a question to the consumer's thread.

    It lies behind marks of transactions and what was taken back, which are never given, and also behind what was
    fetched and is on its way to an agent.
    """
    return {source: state.position for source, state in _states(app).items()}


def _states(app: faust.App) -> dict[TopicPartition, Any]:
    """What aiokafka knows of the assigned partitions that have a position."""
    subscription = cast(Consumer, app.consumer)._thread._ensure_consumer()._subscription.subscription
    assignment = None if subscription is None else subscription.assignment
    if assignment is None:
        return {}
    states: dict[TopicPartition, Any] = {TopicPartition(*tp): assignment.state_value(tp) for tp in assignment.tps}
    return {source: state for source, state in states.items() if state is not None and state.has_valid_position}
