"""A stage in this process, on a real Kafka."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import confluent_kafka
import faust

from infra.services import LocalServices
from streams.engine.content_reader import ContentReader
from streams.engine.fair_order import FairOrder
from streams.engine.faust_app import make_app
from streams.engine.read_ahead import ReadAhead
from streams.engine.stage import Stage
from streams.kafka.connection import admin_client, client_config
from streams.kafka.consumer_groups import committed_offsets, group_id
from streams.kafka.messages import Message, TopicPartition
from streams.kafka.offsets import AsyncOffsets
from streams.kafka.topic_admin import create
from streams.kafka.topics import Topic
from streams.roles import Role
from streams.settings import Settings
from tests.waiting import pause_s

Process = Callable[[Sequence[Message]], Awaitable[None]]


def stage_settings(services: LocalServices, home: Path) -> Settings:
    """Settings with topics of their own, which are created."""
    settings = Settings(
        kafka=services.addresses.kafka,
        topic_prefix=f"stage-{uuid4().hex[:8]}-",
        home=home,
        partitions=2,
        commit_interval_s=0.1,
    )
    create(admin_client(settings), settings)
    return settings


def in_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Let pytest call a coroutine."""

    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        asyncio.run(test(**fixtures))

    return run


class Worker:
    """A Faust application with one stage over uploads and frames, in this process."""

    def __init__(self, settings: Settings, folder: Path, process: Process) -> None:
        self.rejected: list[tuple[Message, Exception, int]] = []
        self.app: faust.App = make_app(Role.EMBED, settings, partitions=settings.partitions, folder=folder)
        topics = [Topic.UPLOADS.named(settings), Topic.FRAMES.named(settings)]

        async def reject(message: Message, error: Exception, attempt: int) -> None:
            self.rejected.append((message, error, attempt))

        self.ahead = ReadAhead(self.app, settings)
        self.stage = Stage(
            self.app,
            FairOrder(topics, urgent_topics=topics[1:]),
            process,
            reject,
            AsyncOffsets(settings),
            ContentReader(settings),
            self.ahead,
            role="embed",
            batch_size=8,
            batch_wait_ms=5,
            commit_interval_s=settings.commit_interval_s,
        )


@asynccontextmanager
async def running(settings: Settings, process: Process, name: str = "a") -> AsyncIterator[Worker]:
    worker = Worker(settings, settings.home / name, process)
    started = asyncio.create_task(worker.app.start())
    try:
        yield worker
    finally:
        started.cancel()
        await worker.app.stop()
        await worker.stage.close()


def send(settings: Settings, topic: Topic, values: Sequence[bytes], key: bytes = b"user", partition: int = 0) -> None:
    producer = confluent_kafka.Producer(client_config(settings) | {"linger.ms": 0})
    for value in values:
        producer.produce(topic.named(settings), value, key, partition)
        producer.flush(10)


def committed(settings: Settings, topic: Topic, partition: int = 0) -> int | None:
    offsets = committed_offsets(settings, group_id(Role.EMBED, settings))
    return offsets.get(TopicPartition(topic.named(settings), partition))


async def until(true: Callable[[], bool], timeout_s: float = 30) -> None:
    async with asyncio.timeout(timeout_s):
        asked_at = time.monotonic()
        while not await asyncio.to_thread(true):  # it happens in a broker
            await asyncio.sleep(pause_s(asked_at))
            asked_at = time.monotonic()


def numbers(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]
