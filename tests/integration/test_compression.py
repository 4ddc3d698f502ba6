"""Producers and topics that compress, as most teams have them: every role goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import confluent_kafka
import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource

from schemas import codec
from schemas.clock import utc_now
from schemas.ids import new_event_id
from schemas.ingest import Frame, Picture
from streams.devtools.local_stack import Stack
from streams.kafka.connection import CODECS, admin_client, client_config
from streams.kafka.messages import TopicPartition
from streams.kafka.partition_counts import partition_counts
from streams.kafka.record_batches import BatchFetcher
from streams.kafka.topic_admin import create
from streams.kafka.topics import Topic
from streams.observability.partition_status import role_states
from streams.roles import ANSWERING, Role
from streams.topology import READS, subscribed
from tests.integration.clients import Clients, eventually
from tests.integration.conftest import Portraits

RUBBISH = b"rubbish " * 100
EVERY_CODEC = [pytest.param(name, marks=[] if name == "zstd" else pytest.mark.long) for name in CODECS]
"""``tests/streams/engine/test_compression.py`` shows all of them to every kind of consumer."""


def answered(clients: Clients, user: str, picture: bytes, compression: str | None) -> None:
    """A frame is answered in Redis and in BigQuery."""
    frame = Frame(new_event_id(), user, "door", 0, utc_now(), Picture(picture))
    options = {"compression.type": compression} if compression else {}
    producer = confluent_kafka.Producer(
        client_config(clients.settings) | {"partitioner": "murmur2_random", "linger.ms": 50} | options
    )
    producer.produce(Topic.FRAMES.named(clients.settings), codec.encode(frame), user.encode())
    assert producer.flush(30) == 0
    assert [face["subject_id"] for face in clients.answer(frame.event_id)["faces"]] == ["obama"]
    clients.row("matches", frame.event_id)


def codec_of(clients: Clients, value: bytes) -> str:
    """The codec in which the broker keeps a message that is put now."""

    async def look() -> str:
        put = clients.put(Topic.FRAMES, value, b"codec", 0)
        async with BatchFetcher(clients.settings) as fetching:
            fetched = await fetching.fetch(TopicPartition(put.topic, put.partition), put.offset)
        return fetched.batches[0].codec

    return asyncio.run(look())


def workers(stack: Stack) -> dict[str, int]:
    """The processes of the workers; the local BigQuery server may crash, and comes back."""
    return {name: pid for name, pid in stack.services.supervisor.running().items() if name != "bigquery"}


def take_all(stack: Stack, roles: list[Role]) -> Callable[[], bool]:
    """Whether nothing waits for these roles."""
    admin = admin_client(stack.settings)
    counts = partition_counts(admin, stack.settings)

    def nothing_waits() -> bool:
        states = role_states(admin, stack.settings, counts, roles)
        return all(one.lag_events == 0 for state in states for one in state.partitions)

    return nothing_waits


@contextmanager
def compressing(stack: Stack, name: str) -> Iterator[None]:
    """Every topic with this ``compression.type``, and as it was afterwards."""
    admin = admin_client(stack.settings)
    entry = ConfigEntry("compression.type", name, incremental_operation=AlterConfigOpType.SET)
    topics = [
        ConfigResource(ConfigResource.Type.TOPIC, topic.named(stack.settings), incremental_configs=[entry])
        for topic in Topic
    ]
    try:
        for done in admin.incremental_alter_configs(topics).values():
            done.result(30)
        yield
    finally:
        create(admin, stack.settings)


@pytest.fixture(scope="module", autouse=True)
def other_roles(stack: Stack) -> None:
    """Workers of the roles that no answer needs. They stay: an erasure waits for every role that has ever run."""
    for role in READS:
        if role not in ANSWERING:
            stack.add_worker(role)
    stack.await_owners(list(READS))


@pytest.mark.parametrize("name", EVERY_CODEC)
def test_every_role_takes_what_a_client_compresses(
    stack: Stack, clients: Clients, portraits: Portraits, host: str, name: str
) -> None:
    """Rubbish that shrinks well goes to every topic that a role reads: it is given up, and nobody dies of it."""
    before = workers(stack)
    topics = {topic for role in READS for topic in subscribed(role, stack.settings)}
    producer = confluent_kafka.Producer(client_config(clients.settings) | {"linger.ms": 50, "compression.type": name})
    for topic in topics:
        for number in range(stack.settings.partitions):
            producer.produce(topic.named(stack.settings), RUBBISH, b"codec", number)
    assert producer.flush(30) == 0
    answered(clients, host, portraits.obama2, name)
    eventually(take_all(stack, list(READS)), "every role has taken everything", 120)
    assert workers(stack) == before, "a worker was started anew"


@pytest.mark.parametrize("name", EVERY_CODEC)
def test_every_role_takes_what_the_topics_compress(
    stack: Stack, clients: Clients, portraits: Portraits, host: str, name: str
) -> None:
    before = workers(stack)
    with compressing(stack, name):
        eventually(lambda: codec_of(clients, RUBBISH) == name, f"the brokers compress with {name}")
        answered(clients, host, portraits.obama3, None)
        eventually(take_all(stack, list(READS)), "every role has taken everything", 120)
    assert workers(stack) == before, "a worker was started anew"
