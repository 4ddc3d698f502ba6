"""Every codec of Kafka, set by the client or by the topic, before every kind of consumer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import confluent_kafka
import pytest
from aiokafka import codec as codecs_of_aiokafka
from confluent_kafka.admin import NewTopic

from infra.services import LocalServices
from models.testing import digest
from schemas import codec
from sinks.redis import RedisResults
from streams.kafka import connection
from streams.kafka.compression import CodecMissing, check_codecs
from streams.kafka.connection import CODECS, admin_client, client_config
from streams.kafka.log_reader import LogReader, read_topic
from streams.kafka.messages import Message, TopicPartition
from streams.kafka.offsets import AsyncOffsets
from streams.kafka.record_batches import BatchFetcher
from streams.kafka.topic_specs import topic_specs
from streams.kafka.topics import Topic
from streams.model_registry.watcher import RegistryWatcher
from streams.observability.partition_status import appended_at
from streams.roles import Role
from streams.settings import Settings
from streams.worker import run_worker
from tests.sinks.examples import match
from tests.streams.engine.test_sink_worker import running as sink_running
from tests.streams.engine.test_stage import running as stage_running
from tests.streams.engine.test_stage import until

COUNT = 20
TOPICS = (Topic.MATCHES, Topic.FRAMES, Topic.MODELS)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compression")


@pytest.fixture(scope="module", params=[f"{name}-{who}" for name in CODECS for who in ("client", "topic")])
def settings(request: pytest.FixtureRequest, services: LocalServices, home: Path) -> Iterator[Settings]:
    """Topics whose messages are compressed: 20 matches on ``matches`` and ``frames``, a record on ``models``."""
    name, _, who = str(request.param).partition("-")
    made = Settings(
        **services.addresses.settings(),
        home=home / str(request.param),
        topic_prefix=f"codec-{uuid4().hex[:8]}.",
        redis_prefix=f"codec-{uuid4().hex[:8]}:",
        partitions=1,
        commit_interval_s=0.1,
    )
    admin = admin_client(made)
    config = {"compression.type": name} if who == "topic" else {}
    new = [NewTopic(one.name, 1, 1, config={**one.config, **config}) for one in topic_specs(made)]
    for done in admin.create_topics(new, operation_timeout=30).values():
        done.result(60)
    options = {"compression.type": name} if who == "client" else {}
    producer = confluent_kafka.Producer(client_config(made) | {"linger.ms": 200} | options)
    for topic in TOPICS:
        for _ in range(COUNT):
            producer.produce(topic.named(made), codec.encode(match()), b"ursula", 0)
    assert producer.flush(30) == 0
    for topic in TOPICS:
        assert asyncio.run(codecs(made, topic)) == {name}
    yield made


async def codecs(settings: Settings, topic: Topic) -> set[str]:
    """The codecs in which the topic really lies on the broker."""
    async with BatchFetcher(settings) as fetching:
        fetched = await fetching.fetch(TopicPartition(topic.named(settings), 0), 0)
    assert [batch.problem for batch in fetched.batches if batch.problem] == []
    return {batch.codec for batch in fetched.batches}


def test_a_stage_takes_them(settings: Settings) -> None:
    """As embed, match and retrain do, and the connections that they ask for the ends of the logs."""
    taken: list[bytes | None] = []

    async def process(batch: Sequence[Message]) -> None:
        taken.extend(message.value for message in batch)

    async def run() -> None:
        async with stage_running(settings, process) as worker:
            await until(lambda: len(taken) == COUNT or worker.app.crashed, 60)
            assert not worker.app.crashed
        ends = AsyncOffsets(settings)
        try:
            assert await ends.holds_messages(TopicPartition(Topic.FRAMES.named(settings), 0), 3, COUNT)
        finally:
            await ends.close()

    asyncio.run(run())
    assert len(taken) == COUNT


def test_a_sink_writes_them(settings: Settings) -> None:
    """As those of Redis, BigQuery and drift do."""
    with sink_running(settings):
        ids = [codec.event_id(one.value) for one in read_topic(settings, Topic.MATCHES)]
        with closing(RedisResults(settings.redis_url, settings.redis_prefix)) as results:
            assert len(results.wait_for([one for one in ids if one], 60)) == COUNT


def replay(settings: Settings) -> int:
    with LogReader(settings, Topic.MATCHES) as log:
        return len(list(log.messages(log.since({}))))


def reader(settings: Settings) -> int:
    return len(list(read_topic(settings, Topic.MATCHES)))


def lag(settings: Settings) -> int:
    source = TopicPartition(Topic.MATCHES.named(settings), 0)
    return COUNT * len(appended_at(settings, {source: COUNT - 1}))


def models(settings: Settings) -> int:
    with RegistryWatcher(settings, digest.CARD) as watcher:
        watcher.catch_up(30)
    return COUNT


@pytest.mark.parametrize("read", [replay, reader, lag, models])
def test_the_readers_of_logs_read_them(settings: Settings, read: Callable[[Settings], int]) -> None:
    """As replay, dead letters, feedback, erasures, model versions, lag and doctor do."""
    assert read(settings) == COUNT


def test_a_worker_that_could_not_read_a_codec_says_so_at_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    check_codecs()
    monkeypatch.setattr(codecs_of_aiokafka, "cramjam", None)
    with pytest.raises(CodecMissing, match=r"snappy, lz4, zstd cannot be read here.*cramjam"):
        run_worker(Role.EMBED, Settings(kafka="127.0.0.1:1"))


def test_a_client_library_that_lacks_a_codec_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert client_config(Settings())["builtin.features"] == "gzip,snappy,lz4,zstd"
    monkeypatch.setattr(connection, "CODECS", ("gzip", "sasl_gssapi"))
    with pytest.raises(confluent_kafka.KafkaException, match="not available at build time"):
        admin_client(Settings())
