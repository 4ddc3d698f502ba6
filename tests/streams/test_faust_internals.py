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
from aiokafka.consumer.subscription_state import SubscriptionState
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport

from streams.app import make_app
from streams.faust_internals import CommittedConsumer, positions
from streams.kafka import ISOLATION
from streams.order import TopicPartition
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


def test_positions_are_those_of_the_subscription(app: faust.App) -> None:
    def look() -> dict[TopicPartition, int]:
        subscription = SubscriptionState()
        subscription.assign_from_user([TP, aiokafka.TopicPartition("frames", 1)])
        subscription.subscription.assignment.state_value(TP).seek(17)
        consumer = app.transport.create_consumer(Mock(), on_partitions_revoked=Mock(), on_partitions_assigned=Mock())
        consumer._thread._consumer = Mock(_subscription=subscription)
        app._consumer = consumer
        return positions(app)

    assert in_a_loop(look) == {TopicPartition("frames", 3): 17}
