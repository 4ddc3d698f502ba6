"""What a stage is far behind in is read ahead, in order, and given back; on a real Kafka."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import confluent_kafka
import pytest
from confluent_kafka.admin import AdminClient

from infra.services import LocalServices
from streams.engine import stage as stage_module
from streams.kafka.connection import admin_client, client_config
from streams.kafka.messages import Message, TopicPartition
from streams.kafka.topics import Topic
from streams.settings import Settings
from tests.streams.engine.stages import committed, in_a_loop, numbers, running, stage_settings, until


@pytest.fixture
def settings(services: LocalServices, tmp_path: Path) -> Settings:
    return stage_settings(services, tmp_path)


def send_all(settings: Settings, topic: Topic, values: Sequence[bytes], key: bytes = b"user") -> None:
    producer = confluent_kafka.Producer(client_config(settings))
    for value in values:
        producer.produce(topic.named(settings), value, key, 0)
    assert producer.flush(30) == 0


class Gated:
    """Lets messages have their effect, which is to be noted, once a valve is open."""

    def __init__(self) -> None:
        self.done: list[bytes] = []
        self.valve = asyncio.Event()

    async def __call__(self, batch: Sequence[Message]) -> None:
        await self.valve.wait()
        self.done.extend(message.value or b"" for message in batch)


@in_a_loop
async def test_a_backlog_is_read_ahead_in_order_and_the_partition_is_given_back(settings: Settings) -> None:
    done: list[bytes] = []
    source = TopicPartition(Topic.FRAMES.named(settings), 0)

    async def process(batch: Sequence[Message]) -> None:
        await asyncio.sleep(0.001)
        done.extend(message.value or b"" for message in batch)

    send_all(settings, Topic.FRAMES, numbers(2000))
    async with running(settings, process) as worker:
        await until(lambda: source in worker.ahead)
        await until(lambda: source not in worker.ahead and len(done) == 2000)
        await asyncio.to_thread(send_all, settings, Topic.FRAMES, numbers(2020)[2000:])
        await until(lambda: committed(settings, Topic.FRAMES) == 2020)
        assert source not in worker.ahead
    assert done == numbers(2020)


@in_a_loop
async def test_what_comes_while_it_is_read_ahead_is_read_too(settings: Settings) -> None:
    source, work = TopicPartition(Topic.FRAMES.named(settings), 0), Gated()
    send_all(settings, Topic.FRAMES, numbers(500))
    async with running(settings, work) as worker:
        await until(lambda: worker.stage.heartbeat.next_offset.get(source) == 500)
        assert source in worker.ahead, "much of it waits"
        await asyncio.to_thread(send_all, settings, Topic.FRAMES, numbers(900)[500:])
        await until(lambda: worker.stage.heartbeat.next_offset.get(source) == 900)
        work.valve.set()
        await until(lambda: committed(settings, Topic.FRAMES) == 900)
    assert work.done == numbers(900)


@in_a_loop
async def test_a_rebalance_while_it_is_read_ahead_loses_nothing(
    settings: Settings,
) -> None:
    done: Counter[bytes] = Counter()

    async def process(batch: Sequence[Message]) -> None:
        await asyncio.sleep(0.02)
        done.update(message.value or b"" for message in batch)

    send_all(settings, Topic.FRAMES, numbers(4000))
    async with running(settings, process, "a") as worker:
        await until(lambda: len(done) > 100)
        assert TopicPartition(Topic.FRAMES.named(settings), 0) in worker.ahead
        async with running(settings, process, "b"):
            await asyncio.sleep(4)
        await until(lambda: committed(settings, Topic.FRAMES) == 4000, 60)
    assert set(done) == set(numbers(4000))
    assert sum(done.values()) - len(done) <= 64, "of two ends of work, each the batch in hand and what is not committed"


@in_a_loop
async def test_too_much_is_not_read_ahead(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """But what Faust fetched at once, which is a megabyte, comes whole: here that is some 500 messages."""
    monkeypatch.setattr(stage_module, "KNOWN_MESSAGES", 1000)
    source, work = TopicPartition(Topic.FRAMES.named(settings), 0), Gated()
    values = [value + random.randbytes(2000) for value in numbers(5000)]
    send_all(settings, Topic.FRAMES, values)
    async with running(settings, work) as worker:
        await until(lambda: source in worker.stage.heartbeat.held)
        await asyncio.sleep(1)
        assert (worker.stage.heartbeat.next_offset.get(source) or 0) < 2500
        work.valve.set()
        await until(lambda: committed(settings, Topic.FRAMES) == 5000, 60)
    assert work.done == values


@in_a_loop
async def test_what_cannot_be_read_ahead_is_left_to_faust(settings: Settings) -> None:
    """As when the log was shortened behind the position: Faust begins where it begins now."""
    source, work = TopicPartition(Topic.FRAMES.named(settings), 0), Gated()
    send_all(settings, Topic.FRAMES, numbers(500))
    async with running(settings, work) as worker:
        await until(lambda: worker.stage.heartbeat.next_offset.get(source) == 500)
        admin: AdminClient = admin_client(settings)
        shortened = confluent_kafka.TopicPartition(source.topic, 0, 100)
        await asyncio.to_thread(lambda: [one.result(10) for one in admin.delete_records([shortened]).values()])
        worker.ahead.seek(source, 50)
        await until(lambda: source not in worker.ahead)
        work.valve.set()
        await asyncio.to_thread(send_all, settings, Topic.FRAMES, numbers(900)[500:])
        await until(lambda: committed(settings, Topic.FRAMES) == 900)
    assert work.done == numbers(900)
