"""Transactions of producers: what is aborted does not exist, and what is open waits without a fault."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import confluent_kafka
import pytest

from infra.services import LocalServices
from schemas import codec
from sinks.redis import RedisResults
from streams.kafka import offsets as module
from streams.kafka.connection import admin_client, client_config
from streams.kafka.consumer_groups import committed_offsets, group_id
from streams.kafka.log_reader import LogReader, read_topic
from streams.kafka.messages import Message, TopicPartition
from streams.kafka.offsets import AsyncOffsets, OpenTransactions, appended_offsets, next_offsets
from streams.kafka.partition_counts import partition_counts
from streams.kafka.topic_admin import create
from streams.kafka.topics import Topic
from streams.observability.partition_status import role_states
from streams.operations.doctor.finding import Finding
from streams.operations.doctor.logs import check
from streams.operations.doctor.remedies import Remedy
from streams.roles import Role
from streams.settings import Settings
from tests.sinks.examples import match
from tests.streams.engine.test_sink_worker import running as sink_running
from tests.streams.engine.test_stage import in_a_loop, send, until
from tests.streams.engine.test_stage import running as stage_running
from tests.streams.operations.doctor.ledger import heals, look
from tests.waiting import wait_until

USER = b"ursula"
SOURCE = TopicPartition("uploads", 0)


@pytest.fixture
def settings(services: LocalServices, tmp_path: Path) -> Settings:
    name = f"transactions-{uuid4().hex[:8]}"
    made = Settings(
        **services.addresses.settings(),
        home=tmp_path,
        topic_prefix=f"{name}.",
        redis_prefix=f"{name}:",
        partitions=1,
        commit_interval_s=0.1,
    )
    create(admin_client(made), made)
    return made


class Transactions:
    """A transactional producer."""

    def __init__(self, settings: Settings, timeout_ms: int = 60_000) -> None:
        self._settings = settings
        self._producer = confluent_kafka.Producer(
            client_config(settings)
            | {"transactional.id": uuid4().hex, "transaction.timeout.ms": timeout_ms, "linger.ms": 0}
        )
        self._producer.init_transactions(60)

    def begin(self, *messages: tuple[Topic, bytes]) -> None:
        """Begin one, and have its messages in the log."""
        self._producer.begin_transaction()
        for topic, value in messages:
            self._producer.produce(topic.named(self._settings), value, USER, 0)
        assert self._producer.flush(60) == 0

    def commit(self, *messages: tuple[Topic, bytes]) -> None:
        self.begin(*messages)
        self.end()

    def end(self) -> None:
        self._producer.commit_transaction(60)

    def abort(self, *messages: tuple[Topic, bytes]) -> None:
        self.begin(*messages)
        self._producer.abort_transaction(60)


def end_of(settings: Settings, topic: Topic) -> int:
    """Where the log ends, marks and all."""
    part = TopicPartition(topic.named(settings), 0)
    return appended_offsets(admin_client(settings), [part])[part]


def caught_up(settings: Settings, role: Role, *topics: Topic) -> bool:
    """Whether nothing seems to wait for the role."""
    committed = committed_offsets(settings, group_id(role, settings))
    return all(committed.get(TopicPartition(topic.named(settings), 0)) == end_of(settings, topic) for topic in topics)


@in_a_loop
async def test_a_stage_takes_what_is_committed_and_nothing_waits_afterwards(settings: Settings) -> None:
    done: list[bytes] = []

    async def process(batch: Sequence[Message]) -> None:
        done.extend(message.value or b"" for message in batch)

    def produce() -> None:
        transactions, other = Transactions(settings), Transactions(settings)
        transactions.abort((Topic.UPLOADS, b"no 0"), (Topic.FRAMES, b"no 1"))
        send(settings, Topic.FRAMES, [b"2"], USER)
        transactions.commit((Topic.UPLOADS, b"3"), (Topic.FRAMES, b"4"))
        # Plain ones, and a second producer's, among those that are taken back.
        transactions.begin((Topic.FRAMES, b"no 5"))
        send(settings, Topic.FRAMES, [b"6"], USER)
        other.commit((Topic.FRAMES, b"7"), (Topic.UPLOADS, b"8"))
        transactions._producer.abort_transaction(60)
        send(settings, Topic.UPLOADS, [b"9"], USER)
        transactions.abort((Topic.UPLOADS, b"no 10"), (Topic.FRAMES, b"no 11"))

    await asyncio.to_thread(produce)
    async with stage_running(settings, process) as worker:
        await until(lambda: caught_up(settings, Role.EMBED, Topic.UPLOADS, Topic.FRAMES), 60)
        assert not worker.app.crashed
    assert sorted(done, key=int) == [b"2", b"3", b"4", b"6", b"7", b"8", b"9"]
    uploads, frames = {b"3", b"8", b"9"}, {b"2", b"4", b"6", b"7"}
    for topic in (uploads, frames):
        assert [value for value in done if value in topic] == sorted(topic, key=int)


@heals(Remedy.OPEN_TRANSACTION)
@in_a_loop
async def test_an_open_transaction_holds_its_partition_until_the_brokers_end_it(settings: Settings) -> None:
    """As a producer leaves it that is killed; nobody is told, and only its own partition waits."""
    done: list[bytes] = []

    async def process(batch: Sequence[Message]) -> None:
        done.extend(message.value or b"" for message in batch)

    script = Path(__file__).parent / "open_transaction.py"
    killed = await asyncio.to_thread(leave_open, script, settings)
    assert killed == -signal.SIGKILL
    await asyncio.to_thread(send, settings, Topic.UPLOADS, [b"behind"])
    await asyncio.to_thread(send, settings, Topic.FRAMES, [b"frame"])
    async with stage_running(settings, process) as worker:
        await until(lambda: done == [b"frame"], 60)
        (found,) = [one async for one in patiently(settings)]
        assert found.name == f"transaction on {Topic.UPLOADS.named(settings)} 0"
        assert "2 messages wait from offset 0 on" in found.observed
        assert done == [b"frame"]
        await until(lambda: done == [b"frame", b"behind"], 120)
        await until(lambda: caught_up(settings, Role.EMBED, Topic.UPLOADS, Topic.FRAMES), 60)
        assert not worker.app.crashed
    assert await asyncio.to_thread(findings, settings) == []


def leave_open(script: Path, settings: Settings) -> int:
    """Have a producer killed in the midst of a transaction that the brokers end after some seconds."""
    return subprocess.run(
        [sys.executable, str(script), settings.kafka, Topic.UPLOADS.named(settings)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
        check=False,
        timeout=120,
    ).returncode


def findings(settings: Settings) -> list[Finding]:
    admin = admin_client(settings)
    found = list(check(admin, settings, partition_counts(admin, settings)))
    look(found)
    return found


async def patiently(settings: Settings) -> AsyncIterator[Finding]:
    """What the doctor says of transactions, once it says something."""
    found: list[Finding] = []
    while not found:
        found = await asyncio.to_thread(findings, settings)
    for one in found:
        yield one


def test_a_sink_writes_what_is_committed_and_nothing_waits_afterwards(settings: Settings) -> None:
    values = {number: match(camera_id=f"c{number}") for number in range(6)}
    transactions = Transactions(settings)
    transactions.abort((Topic.MATCHES, codec.encode(values[0])))
    transactions.commit((Topic.MATCHES, codec.encode(values[1])))
    send(settings, Topic.MATCHES, [codec.encode(values[2])], USER)
    transactions.begin((Topic.MATCHES, codec.encode(values[3])))
    send(settings, Topic.MATCHES, [codec.encode(values[4])], USER)
    transactions._producer.abort_transaction(60)
    transactions.abort((Topic.MATCHES, codec.encode(values[5])))
    with sink_running(settings), closing(RedisResults(settings.redis_url, settings.redis_prefix)) as results:
        wait_until(lambda: caught_up(settings, Role.SINK_REDIS, Topic.MATCHES), 60)
        written = results.wait_for([one.event_id for one in values.values()], 1)
    assert set(written) == {values[number].event_id for number in (1, 2, 4)}
    admin = admin_client(settings)
    (state,) = role_states(admin, settings, {Topic.MATCHES: 1}, [Role.SINK_REDIS])
    assert [(one.lag_events, one.held_back) for one in state.partitions] == [(0, 0)]


def test_what_is_open_is_no_lag_but_held_back(settings: Settings) -> None:
    transactions = Transactions(settings)
    send(settings, Topic.MATCHES, [b"first"], USER)
    transactions.begin((Topic.MATCHES, b"open"))
    send(settings, Topic.MATCHES, [b"behind"], USER)
    part, admin = TopicPartition(Topic.MATCHES.named(settings), 0), admin_client(settings)
    assert next_offsets(admin, [part])[part] == 1
    (state,) = role_states(admin, settings, {Topic.MATCHES: 1}, [Role.SINK_REDIS])
    assert [(one.lag_events, one.held_back) for one in state.partitions] == [(1, 2)]
    transactions.end()
    wait_until(lambda: next_offsets(admin, [part])[part] == 4, 60)


def test_the_readers_of_logs_read_what_is_committed(settings: Settings) -> None:
    transactions = Transactions(settings)
    transactions.abort((Topic.MATCHES, b"no"), (Topic.MATCHES, b"no"))
    transactions.commit((Topic.MATCHES, b"yes"))
    send(settings, Topic.MATCHES, [b"plain"], USER)
    transactions.abort((Topic.MATCHES, b"no"))
    transactions.begin((Topic.MATCHES, b"open"))
    send(settings, Topic.MATCHES, [b"behind"], USER)
    assert [one.value for one in read_topic(settings, Topic.MATCHES)] == [b"yes", b"plain"]
    with LogReader(settings, Topic.MATCHES) as log:
        assert [one.value for one in log.messages(log.since({}))] == [b"yes", b"plain"]
        (all_of_it,) = log.between(datetime.fromtimestamp(0, UTC), datetime.now(UTC))
        assert [one.value for one in log.messages([all_of_it])] == [b"yes", b"plain"]
        assert [one.value for one in log.messages(log.last(4))] == [b"plain"]
    transactions.end()
    wait_until(lambda: len(list(read_topic(settings, Topic.MATCHES))) == 4, 60)


@in_a_loop
async def test_a_commit_that_was_confirmed_counts_before_its_mark_is_in_the_log(settings: Settings) -> None:
    """The uploads of a transaction come before a frame that was sent once it was committed."""
    transactions, ends = await asyncio.to_thread(Transactions, settings), AsyncOffsets(settings)
    source = TopicPartition(Topic.UPLOADS.named(settings), 0)
    try:
        await asyncio.to_thread(transactions.begin, (Topic.UPLOADS, b"1"))
        assert await ends.next_offsets([source]) == {source: 1}
        await until_end(ends, source, 0)  # it is open for long: nobody else waits for it
        await asyncio.to_thread(transactions.end)
        await until_end(ends, source, 2)
        assert await ends.past_marks({source: 0}, {source: 2}) == {}
        assert await ends.past_marks({source: 1}, {source: 2}) == {source: 2}
    finally:
        await ends.close()


async def until_end(ends: AsyncOffsets, source: TopicPartition, end: int) -> None:
    async with asyncio.timeout(60):
        while (await ends.next_offsets([source]))[source] != end:  # noqa: ASYNC110  # it happens in a broker
            await asyncio.sleep(0.05)


def test_each_transaction_is_waited_for_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    known = OpenTransactions()
    assert known.ends({SOURCE: 5}, {SOURCE: 5}) == {SOURCE: 5}
    assert known.ends({SOURCE: 5}, {SOURCE: 8}) == {SOURCE: 8}
    assert known.ends({SOURCE: 5}, {SOURCE: 9}) == {SOURCE: 8}, "what comes later is not waited for"
    now += 2
    assert known.ends({SOURCE: 5}, {SOURCE: 9}) == {SOURCE: 5}
    assert known.ends({SOURCE: 5}, {SOURCE: 12}) == {SOURCE: 5}, "once is enough"
    assert known.ends({SOURCE: 9}, {SOURCE: 12}) == {SOURCE: 12}, "it ended, and another is open"
    assert known.ends({SOURCE: 12}, {SOURCE: 14}) == {SOURCE: 12}, "all that was there then is readable"
