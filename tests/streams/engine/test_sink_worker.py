"""A sink's worker on a real Kafka: what cannot be written is a dead letter, or nothing is committed."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import uuid4

import confluent_kafka
import pytest

from infra.services import LocalServices
from schemas import codec
from schemas.dead_letters import DeadLetter
from schemas.results import Match
from sinks.base import Delivery, RejectedRow, Rejection, SinkUnavailable
from sinks.redis import RedisResults, RedisSink
from streams.engine.sink_reader import SinkReader
from streams.engine.sink_worker import SinkWorker
from streams.kafka.connection import admin_client, client_config
from streams.kafka.consumer_groups import committed_offsets, group_id
from streams.kafka.log_reader import read_topic
from streams.kafka.messages import TopicPartition
from streams.kafka.topic_admin import create
from streams.kafka.topics import Topic
from streams.roles import Role
from streams.settings import Settings
from tests.sinks.examples import match
from tests.waiting import wait_until


@pytest.fixture
def settings(services: LocalServices) -> Settings:
    name = f"sink-{uuid4().hex[:8]}"
    made = Settings(
        **services.addresses.settings(),
        topic_prefix=f"{name}.",
        redis_prefix=f"{name}:",
        partitions=1,
        commit_interval_s=0.1,
    )
    create(admin_client(made), made)
    return made


class AwayThenRejecting(RedisSink):
    """Redis that is away at first, and then will not take the first event."""

    calls = 0

    def write(self, batch: Sequence[Delivery]) -> None:
        self.calls += 1
        if self.calls == 1:
            raise SinkUnavailable("away")
        if self.calls == 2:
            raise RejectedRow([Rejection(batch[0], "never")])
        super().write(batch)


@contextmanager
def running(settings: Settings, kind: type[RedisSink] = RedisSink) -> Iterator[None]:
    """A worker for Redis in this process."""
    sink = kind(settings.redis_url, settings.redis_prefix)
    worker = SinkWorker(Role.SINK_REDIS, settings, sink, {Topic.MATCHES: Match}, batch_size=50, linger_s=0.0)
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()


def put(settings: Settings, values: list[bytes]) -> None:
    producer = confluent_kafka.Producer(
        client_config(settings) | {"compression.type": "gzip", "message.max.bytes": 10**8}
    )
    for value in values:
        producer.produce(Topic.MATCHES.named(settings), value, b"ursula")
    assert producer.flush(30) == 0


def letters(settings: Settings) -> list[DeadLetter]:
    return [codec.decode(one.value, DeadLetter) for one in read_topic(settings, Topic.DEAD_LETTERS)]


def committed(settings: Settings) -> int | None:
    offsets = committed_offsets(settings, group_id(Role.SINK_REDIS, settings))
    return offsets.get(TopicPartition(Topic.MATCHES.named(settings), 0))


def test_nothing_is_lost_while_a_dead_letter_is_not_taken(settings: Settings) -> None:
    events = [match(camera_id=f"c{n}") for n in range(300)]
    values = [codec.encode(one) for one in events]
    put(settings, [*values[:20], b"rubbish", *values[20:]])
    admin = admin_client(settings)
    admin.delete_topics([Topic.DEAD_LETTERS.named(settings)])[Topic.DEAD_LETTERS.named(settings)].result(30)
    with running(settings):
        threading.Event().wait(15)
        assert (committed(settings) or 0) < 300
        create(admin, settings, accept_loss=True)
        wait_until(lambda: committed(settings) == 301, 60)
    results = RedisResults(settings.redis_url, settings.redis_prefix)
    assert len(results.wait_for([one.event_id for one in events], 1)) == 300
    assert {(one.offset, one.value) for one in letters(settings)} == {(20, b"rubbish")}


def test_a_message_that_no_dead_letter_can_hold_is_told_of_without_it(settings: Settings) -> None:
    good = match()
    # The brokers look at what is sent, which is little: it is compressed.
    put(settings, [bytes(2 * settings.max_message_bytes), codec.encode(good)])
    with running(settings):
        wait_until(lambda: committed(settings) == 2, 60)
    (letter,) = letters(settings)
    assert (letter.offset, letter.value, letter.reason) == (0, None, "not_an_event")
    assert "bytes are left out" in letter.message


def test_a_rejection_after_a_wait_leaves_nothing_paused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SinkReader, "stalled", lambda _: False)  # which assigns anew what stands still, but late
    put(settings, [codec.encode(match())])
    with running(settings, AwayThenRejecting):
        wait_until(lambda: committed(settings) == 1, 60)
        put(settings, [codec.encode(match())])
        wait_until(lambda: committed(settings) == 2, 60)
    (letter,) = letters(settings)
    assert letter.offset == 0
