"""What a stage promises, on a real Kafka: nothing is committed before its effect, whatever Faust would acknowledge."""

from __future__ import annotations

import asyncio
import errno
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import confluent_kafka
import pytest
import requests
from aiokafka.errors import KafkaConnectionError, MessageSizeTooLargeError
from faust.types import TP
from PIL import UnidentifiedImageError

from infra.services import LocalServices
from streams.engine import fair_order
from streams.engine.faust_app import run_app
from streams.kafka.commit_metadata import CommitMetadata
from streams.kafka.connection import KafkaUnavailable, admin_client, client_config
from streams.kafka.consumer_groups import commits, group_id
from streams.kafka.messages import Message, TopicPartition
from streams.kafka.offsets import AsyncOffsets, next_offsets
from streams.kafka.topics import Topic, TopicMissing
from streams.observability.faults import LocalTableFailed
from streams.roles import Role
from streams.settings import Settings
from tests.streams.engine.stages import (
    Worker,
    committed,
    in_a_loop,
    numbers,
    running,
    send,
    stage_settings,
    until,
)


@pytest.fixture
def settings(services: LocalServices, tmp_path: Path) -> Settings:
    return stage_settings(services, tmp_path)


@in_a_loop
async def test_a_commit_never_passes_a_message_without_its_effect(settings: Settings) -> None:
    """faust-streaming #606, #189, #315, take(): there the offset moves on although processing failed."""
    done: list[bytes] = []
    mended = asyncio.Event()

    async def process(batch: Sequence[Message]) -> None:
        if any(message.value == b"5" for message in batch) and not mended.is_set():
            raise ConnectionError("the service is away")
        done.extend(message.value or b"" for message in batch)

    send(settings, Topic.FRAMES, numbers(30))
    async with running(settings, process):
        await until(lambda: committed(settings, Topic.FRAMES) is None or done != [])
        await asyncio.sleep(1)  # several commit intervals: the offset must stay where it is
        assert (await asyncio.to_thread(committed, settings, Topic.FRAMES) or 0) <= 5
        mended.set()
        await until(lambda: committed(settings, Topic.FRAMES) == 30)
    assert sorted(done, key=int) == numbers(30)


@in_a_loop
async def test_a_message_that_always_fails_is_given_up_alone_and_the_others_pass(settings: Settings) -> None:
    done: list[bytes] = []

    async def process(batch: Sequence[Message]) -> None:
        if any(message.value == b"7" for message in batch):
            raise ValueError("no good")
        done.extend(message.value or b"" for message in batch)

    send(settings, Topic.FRAMES, numbers(20))
    async with running(settings, process) as worker:
        await until(lambda: committed(settings, Topic.FRAMES) == 20)
    assert [(message.value, str(error)) for message, error, _ in worker.rejected] == [(b"7", "no good")]
    assert worker.rejected[0][2] >= 3
    assert set(done) == set(numbers(20)) - {b"7"}


@pytest.mark.parametrize(
    "own",
    [
        FileNotFoundError(2, "no such file"),
        PermissionError(13, "denied"),
        UnidentifiedImageError("no picture"),
        requests.exceptions.InvalidURL("no address"),
        ConnectionRefusedError(111, "refused"),
        TimeoutError("too long"),
    ],
    ids=lambda error: type(error).__name__,
)
@in_a_loop
async def test_an_oserror_of_the_message_is_given_up_like_any_other_fault(settings: Settings, own: OSError) -> None:
    async def process(batch: Sequence[Message]) -> None:
        if any(message.value == b"3" for message in batch):
            raise own

    send(settings, Topic.FRAMES, numbers(5))
    async with running(settings, process) as worker:
        await until(lambda: committed(settings, Topic.FRAMES) == 5)
    assert [(message.value, error) for message, error, _ in worker.rejected] == [(b"3", own)]


@pytest.mark.parametrize(
    "away",
    [
        OSError(errno.ENOSPC, "no space left"),
        LocalTableFailed("IO error"),
        KafkaUnavailable("no broker"),
        TopicMissing("no topic erasures"),
        KafkaConnectionError("gone"),
    ],
    ids=lambda error: type(error).__name__,
)
@in_a_loop
async def test_what_happens_to_every_message_is_waited_for_and_told(settings: Settings, away: Exception) -> None:
    tries, mended = 0, asyncio.Event()

    async def process(_: Sequence[Message]) -> None:
        nonlocal tries
        tries += 1
        if not mended.is_set():
            raise away

    send(settings, Topic.FRAMES, numbers(2))
    async with running(settings, process) as worker:
        await until(lambda: tries > 4)
        told = worker.stage.heartbeat.waiting
        assert told is not None
        assert told.error == f"{type(away).__name__}: {away}"
        mended.set()
        await until(lambda: committed(settings, Topic.FRAMES) == 2)
    assert worker.rejected == []
    assert worker.stage.heartbeat.waiting is None


@in_a_loop
async def test_what_no_topic_takes_is_given_up_like_any_other_fault(settings: Settings) -> None:
    async def process(batch: Sequence[Message]) -> None:
        if any(message.value == b"7" for message in batch):
            raise MessageSizeTooLargeError

    send(settings, Topic.FRAMES, numbers(9))
    async with running(settings, process) as worker:
        await until(lambda: committed(settings, Topic.FRAMES) == 9)
    assert [message.value for message, _, _ in worker.rejected] == [b"7"]


@in_a_loop
async def test_a_worker_whose_start_fails_ends(settings: Settings) -> None:
    worker = Worker(settings, settings.home / "a", lambda batch: asyncio.sleep(0))

    async def fails() -> None:
        raise KafkaConnectionError("no broker")

    worker.app.on_start = fails  # type: ignore[method-assign]
    async with asyncio.timeout(20):
        assert await run_app(worker.app, worker.stage.drain) == 1


@in_a_loop
async def test_draining_finishes_the_batch_in_hand_and_commits_it(settings: Settings) -> None:
    done: list[bytes] = []
    started = asyncio.Event()

    async def process(batch: Sequence[Message]) -> None:
        started.set()
        await asyncio.sleep(0.5)
        done.extend(message.value or b"" for message in batch)

    send(settings, Topic.FRAMES, numbers(100))
    async with running(settings, process) as worker:
        await asyncio.wait_for(started.wait(), 30)
        await worker.stage.drain()
        assert await asyncio.to_thread(committed, settings, Topic.FRAMES) == len(done) < 100


@in_a_loop
async def test_uploads_and_frames_come_in_the_order_of_the_log(settings: Settings) -> None:
    done: list[bytes] = []

    async def process(batch: Sequence[Message]) -> None:
        done.extend(message.value or b"" for message in batch)

    expected = []
    for number in range(20):
        topic = Topic.UPLOADS if number % 3 == 0 else Topic.FRAMES
        expected.append(b"%d" % number)
        send(settings, topic, [expected[-1]])
        await asyncio.sleep(0.002)  # the broker's time stamps have milliseconds
    async with running(settings, process):
        await until(lambda: len(done) == 20)
        for number in range(20, 60):
            topic = Topic.UPLOADS if number % 3 == 0 else Topic.FRAMES
            expected.append(b"%d" % number)
            await asyncio.to_thread(send, settings, topic, [expected[-1]])
            await asyncio.sleep(0.002)
        await until(lambda: len(done) == 60)
    assert done == expected


@in_a_loop
async def test_a_frame_passes_another_users_bulk_and_a_new_owner_goes_on_with_the_bulk(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of most of the bulk only the positions fit into memory, and nothing of it is committed before it is done."""
    monkeypatch.setattr(fair_order, "USER_BYTES", 30_000)
    monkeypatch.setattr(fair_order, "KEPT_BYTES", 60_000)
    bulk, live, open_valve = Counter[bytes](), Counter[bytes](), asyncio.Event()

    async def process(batch: Sequence[Message]) -> None:
        if any(message.key == b"bulk" for message in batch) and len(bulk) > 40:
            await open_valve.wait()
        for message in batch:
            assert len(message.value or b"") > 1000
            (live if message.key == b"live" else bulk)[(message.value or b"")[-4:]] += 1

    def values(count: int) -> list[bytes]:
        return [b"x" * 1000 + b"%04d" % number for number in range(count)]

    send(settings, Topic.UPLOADS, values(400), b"bulk")
    async with running(settings, process, "a") as worker:
        await until(lambda: len(bulk) > 40)
        await asyncio.to_thread(send, settings, Topic.UPLOADS, values(2), b"live")
        await asyncio.to_thread(send, settings, Topic.FRAMES, values(1), b"live")
        open_valve.set()
        await until(lambda: len(live) == 2, 30)
        assert len(bulk) < 400, "the bulk is not done yet"
        assert worker.stage.heartbeat.waiting is None
        done = len(bulk)
        await until(lambda: (committed(settings, Topic.UPLOADS) or 0) > 0)
        assert (await asyncio.to_thread(committed, settings, Topic.UPLOADS) or 0) <= done + 100
    async with running(settings, process, "b"):
        await until(lambda: committed(settings, Topic.UPLOADS) == 402, 60)
        await until(lambda: committed(settings, Topic.FRAMES) == 1)
    assert len(bulk) == 400


@in_a_loop
async def test_a_rebalance_loses_nothing_and_hands_over_what_is_done(settings: Settings) -> None:
    """Messages that Faust skips at a rebalance are acknowledged there; here they are read again."""
    done: Counter[bytes] = Counter()

    async def process(batch: Sequence[Message]) -> None:
        await asyncio.sleep(0.02)
        done.update(message.value or b"" for message in batch)

    values = numbers(600)
    async with running(settings, process, "a"):
        for start in range(0, 600, 100):
            for partition in range(2):
                half = values[start + 50 * partition : start + 50 * (partition + 1)]
                await asyncio.to_thread(send, settings, Topic.FRAMES, half, partition=partition)
            if start in (100, 300):
                async with running(settings, process, f"b{start}"):
                    await asyncio.sleep(4)
        await until(lambda: len(done) == 600, 60)
        await until(
            lambda: (committed(settings, Topic.FRAMES, 0), committed(settings, Topic.FRAMES, 1)) == (300, 300), 30
        )
    assert set(done) == set(values)
    assert sum(done.values()) - len(done) <= 16, "a rebalance hands over after the batch in hand"


@in_a_loop
async def test_an_offset_that_was_committed_of_an_earlier_topic_passes_over_nothing(settings: Settings) -> None:
    """As by a worker that had not noticed yet that the topic was deleted and created again."""
    done: list[bytes] = []

    async def process(batch: Sequence[Message]) -> None:
        done.extend(message.value or b"" for message in batch)

    send(settings, Topic.FRAMES, numbers(20))
    stale = confluent_kafka.TopicPartition(
        Topic.FRAMES.named(settings), 0, 15, CommitMetadata(topic_id="another").now()
    )
    config = client_config(settings) | {"group.id": group_id(Role.EMBED, settings)}
    confluent_kafka.Consumer(config).commit(offsets=[stale], asynchronous=False)
    async with running(settings, process):
        await until(lambda: committed(settings, Topic.FRAMES) == 20)
    assert sorted(done, key=int) == numbers(20)
    known = await asyncio.to_thread(commits, settings, group_id(Role.EMBED, settings))
    assert known[TopicPartition(stale.topic, 0)].note.topic_id not in (None, "another")


@in_a_loop
async def test_messages_that_faust_drops_are_read_again(settings: Settings) -> None:
    """A note of what was given, made while a rebalance takes the partitions away, makes Faust drop what follows."""
    done: list[bytes] = []

    async def process(batch: Sequence[Message]) -> None:
        done.extend(message.value or b"" for message in batch)

    async with running(settings, process) as worker:
        for count in (0, 20, 40):
            await until(lambda count=count: len(done) == count and worker.stage.heartbeat.turned_at is not None)  # type: ignore[misc]
            worker.app.consumer._read_offset[TP(Topic.FRAMES.named(settings), 0)] = count + 5
            await asyncio.to_thread(send, settings, Topic.FRAMES, numbers(60)[count : count + 20])
        await until(lambda: committed(settings, Topic.FRAMES) == 60)
        assert not worker.app.crashed
    assert done == numbers(60)


@in_a_loop
async def test_markers_of_transactions_are_no_gap_and_hold_nothing_back(settings: Settings) -> None:
    done: list[bytes] = []

    async def process(batch: Sequence[Message]) -> None:
        done.extend(message.value or b"" for message in batch)

    producer = confluent_kafka.Producer(client_config(settings) | {"transactional.id": settings.topic_prefix})
    producer.init_transactions(30)
    for number in range(6):
        producer.begin_transaction()
        topic = Topic.UPLOADS if number % 2 else Topic.FRAMES
        producer.produce(topic.named(settings), b"%d" % number, b"user", 0)
        producer.commit_transaction(30)
    async with running(settings, process):
        await until(lambda: len(done) == 6)
    assert sorted(done) == numbers(6)


@in_a_loop
async def test_messages_in_a_gap_are_told_from_markers(settings: Settings) -> None:
    source = TopicPartition(Topic.FRAMES.named(settings), 0)
    producer = confluent_kafka.Producer(client_config(settings) | {"transactional.id": settings.topic_prefix})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(source.topic, b"0", b"user", 0)
    producer.commit_transaction(30)
    ends, admin = AsyncOffsets(settings), admin_client(settings)
    try:
        await until(lambda: next_offsets(admin, [source])[source] == 2)
        send(settings, Topic.FRAMES, [b"2"])
        assert await ends.holds_messages(source, 0, 2)
        assert not await ends.holds_messages(source, 1, 2)
        assert await ends.holds_messages(source, 1, 3)
    finally:
        await ends.close()
