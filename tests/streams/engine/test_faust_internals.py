"""The private names of Faust that facestream uses; an upgrade that moves one fails here by its name."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import aiokafka
import faust
import pytest
from aiokafka.consumer.subscription_state import SubscriptionState
from faust.stores.rocksdb import Store
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.transport.conductor import Conductor
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Producer, Transport

from streams.engine import faust_internals
from streams.engine.faust_app import make_app
from streams.engine.faust_internals import PromptConsumer, SteadyFlow, held, positions
from streams.kafka.connection import ISOLATION
from streams.kafka.messages import TopicPartition
from streams.roles import Role
from streams.settings import Settings
from tests.streams.engine.private_names import is_there, used_by

TP = aiokafka.TopicPartition("frames", 3)
NAMES = [
    (Conductor, "_tp_to_callback_lock"),
    (Consumer, "_active_partitions"),
    (Consumer, "_new_consumer_thread"),
    (Consumer, "_read_offset"),
    (Consumer, "_seek"),
    (Consumer, "_thread"),
    (AIOKafkaConsumerThread, "_create_worker_consumer"),
    (AIOKafkaConsumerThread, "_ensure_consumer"),
    (Producer, "_ensure_producer"),
    (Recovery, "_build_offsets"),
    (Recovery, "_wait"),
    (Store, "_db_for_partition"),
    (Store, "_dbs"),
    (Store, "_visible_items"),
    (TableManager, "_recovery"),
]


@pytest.fixture
def app(tmp_path: Path) -> Iterator[faust.App]:
    yield make_app(Role.EMBED, Settings(kafka="127.0.0.1:1"), partitions=4, folder=tmp_path)


def in_a_loop(act: Any) -> Any:
    async def run() -> Any:
        return act()

    return asyncio.run(run())


@pytest.mark.parametrize(("owner", "name"), NAMES)
def test_a_name_is_there(owner: type, name: str) -> None:
    assert is_there(owner, name), (
        f"faust-streaming {version('faust-streaming')} has no {owner.__qualname__}.{name} any more, which "
        "streams/engine/faust_internals.py uses: find what replaces it there, or keep the pin"
    )


def test_no_name_is_left_out_here() -> None:
    assert used_by(faust_internals) <= {name for _, name in NAMES}


def test_a_worker_reads_what_is_committed(app: faust.App) -> None:
    """Faust makes its consumer by way of the names above."""

    def made() -> aiokafka.AIOKafkaConsumer:
        consumer = app.transport.create_consumer(Mock(), on_partitions_revoked=Mock(), on_partitions_assigned=Mock())
        assert isinstance(consumer, PromptConsumer)
        return consumer._thread._create_worker_consumer(app.transport)

    consumer = in_a_loop(made)
    assert consumer._isolation_level == ISOLATION
    assert isinstance(app.transport, Transport)


def test_a_worker_seeks_in_the_thread_that_fetches(app: faust.App) -> None:
    """Or a fetch that is being given loses its place, and the worker ends."""

    async def threads() -> tuple[int, list[int]]:
        consumer = app.transport.create_consumer(Mock(), on_partitions_revoked=Mock(), on_partitions_assigned=Mock())
        seeks: list[int] = []
        thread = consumer._thread
        thread._consumer = Mock()
        thread._consumer.seek = lambda partition, offset: seeks.append(threading.get_ident())
        with ThreadPoolExecutor(1) as fetching:
            its_own = fetching.submit(threading.get_ident).result()

            async def call_thread(act: Callable[..., None], *args: Any) -> None:
                await asyncio.get_running_loop().run_in_executor(fetching, act, *args)

            thread.call_thread = call_thread
            await consumer.seek(faust.types.TP("frames", 3), 17)
        return its_own, seeks

    its_own, seeks = asyncio.run(threads())
    assert seeks == [its_own]


def test_a_flow_that_is_resumed_twice_throws_nothing_away(app: faust.App) -> None:
    def look() -> int:
        assert isinstance(app.flow_control, SteadyFlow)
        queue = app.FlowControlQueue(maxsize=10, clear_on_resume=True)
        app.flow_control.resume()
        queue.put_nowait("message")
        app.flow_control.resume()
        return int(queue.qsize())

    assert in_a_loop(look) == 1


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
