"""Every client puts a user on the same partition; otherwise a user's frames would miss his gallery."""

import asyncio
from pathlib import Path

import aiokafka

from streams.client.producer import Producer
from streams.engine.faust_app import make_app
from streams.kafka.topics import Topic
from streams.roles import Role
from streams.settings import Settings

USERS = [f"user-{number}" for number in range(100)] + ["", "a", "ä", "用户", "😀", "x" * 250, "anna@example.com"]


async def by_aiokafka(settings: Settings) -> dict[str, int]:
    async with aiokafka.AIOKafkaProducer(bootstrap_servers=settings.kafka) as producer:
        topic = Topic.FRAMES.named(settings)
        return {user: (await producer.send_and_wait(topic, b"x", key=user.encode())).partition for user in USERS}


async def by_faust(settings: Settings, folder: Path) -> dict[str, int]:
    app = make_app(Role.EMBED, settings, partitions=settings.partitions, folder=folder)
    await app.producer.start()
    try:
        topic, found = Topic.EMBEDDINGS.named(settings), {}
        for user in USERS:
            report = await app.producer.send_and_wait(topic, user.encode(), b"x", None, None, None)
            found[user] = report.partition
        return found
    finally:
        await app.producer.stop()


def by_producer(settings: Settings) -> dict[str, int]:
    with Producer(settings, check_format=False) as producer:
        sent = {user: producer.frame(user, b"x", camera_id="door") for user in USERS if user}
        return {user: one.result(10).partition for user, one in sent.items()}


def test_all_agree(ready: Settings, tmp_path: Path) -> None:
    ours = by_producer(ready)
    theirs = asyncio.run(by_aiokafka(ready))
    fausts = asyncio.run(by_faust(ready, tmp_path))
    assert set(ours.values()) == set(range(ready.partitions)), "every partition has a user, or the test shows little"
    assert fausts == theirs
    assert ours == {user: partition for user, partition in theirs.items() if user}
