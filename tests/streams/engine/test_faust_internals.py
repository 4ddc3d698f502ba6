"""The private names of Faust and aiokafka that facestream touches; an upgrade that moves one fails here by its name."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import aiokafka
import faust
import pytest
from aiokafka.consumer.fetcher import Fetcher, FetchError, FetchResult, PartitionRecords
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.errors import RecordTooLargeError
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport

from streams.engine.faust_app import make_app
from streams.engine.faust_internals import CommittedConsumer, guard, held, positions
from streams.kafka.connection import ISOLATION
from streams.kafka.messages import TopicPartition
from streams.roles import Role
from streams.settings import Settings

TP = aiokafka.TopicPartition("frames", 3)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[faust.App]:
    yield make_app(Role.EMBED, Settings(kafka="127.0.0.1:1"), partitions=4, folder=tmp_path)


def in_a_loop(act: Any) -> Any:
    async def run() -> Any:
        return act()

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (Consumer, "_new_consumer_thread"),
        (AIOKafkaConsumerThread, "_create_worker_consumer"),
        (AIOKafkaConsumerThread, "_ensure_consumer"),
    ],
)
def test_a_name_is_there(owner: type, name: str) -> None:
    assert callable(getattr(owner, name)), f"{owner.__qualname__}.{name} is gone"


def test_a_worker_reads_what_is_committed(app: faust.App) -> None:
    """Faust makes its consumer by way of these, and aiokafka hands its isolation level to its fetcher at its start."""

    def made() -> aiokafka.AIOKafkaConsumer:
        consumer = app.transport.create_consumer(Mock(), on_partitions_revoked=Mock(), on_partitions_assigned=Mock())
        assert isinstance(consumer, CommittedConsumer)
        return consumer._thread._create_worker_consumer(app.transport)

    consumer = in_a_loop(made)
    assert consumer._isolation_level == ISOLATION
    assert isinstance(app.transport, Transport)
    fetched_with = aiokafka.AIOKafkaConsumer.start.__code__.co_names
    assert "_isolation_level" in fetched_with, "aiokafka hands it over elsewhere"


@pytest.mark.parametrize("name", ["_proc_fetch_request", "_set_error", "fetched_records"])
def test_the_fetcher_works_on_the_records_that_are_guarded(name: str) -> None:
    assert "_records" in getattr(Fetcher, name).__code__.co_names, f"Fetcher.{name} keeps what it fetched elsewhere"


def test_what_a_guarded_consumer_cannot_decode_pauses_its_partition_behind_what_it_can() -> None:
    def records() -> Iterator[int]:
        yield from (1, 2)
        raise ValueError("rubbish")

    consumer, fetched = Mock(), PartitionRecords(TP, Mock(), [], 0, None, None, True, 1)
    fetched._records_iterator = records()
    guard(consumer)
    consumer._fetcher._records[TP] = FetchResult(TP, assignment=Mock(), partition_records=fetched, backoff=0)
    assert list(fetched) == [1, 2]
    consumer.pause.assert_called_once_with(TP)


def test_what_is_cut_off_is_no_error_and_nothing_is_left_out() -> None:
    async def run() -> tuple[bool, int]:
        subscription = SubscriptionState()
        subscription.assign_from_user([TP])
        state = subscription.subscription.assignment.state_value(TP)
        state.seek(17)
        consumer = Mock(_subscription=subscription)
        guard(consumer)
        consumer._fetcher._records[TP] = FetchError(error=RecordTooLargeError(), backoff=0)
        state.consumed_to(18)  # as aiokafka does next
        await asyncio.sleep(0)
        assert TP not in consumer._fetcher._records
        return consumer.pause.called, state.position

    assert asyncio.run(run()) == (True, 17)


def test_positions_are_those_of_the_subscription(app: faust.App) -> None:
    def look() -> dict[TopicPartition, int]:
        subscription = SubscriptionState()
        subscription.assign_from_user([TP, aiokafka.TopicPartition("frames", 1)])
        subscription.subscription.assignment.state_value(TP).seek(17)
        consumer = app.transport.create_consumer(Mock(), on_partitions_revoked=Mock(), on_partitions_assigned=Mock())
        consumer._thread._consumer = Mock(_subscription=subscription)
        app._consumer = consumer
        assert held(app) == {}
        subscription.pause(TP)
        assert held(app) == {TopicPartition("frames", 3): 17}
        return positions(app)

    assert in_a_loop(look) == {TopicPartition("frames", 3): 17}
