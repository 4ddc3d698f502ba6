"""Record batches that nobody can decode, made by damaging a real broker's files while it serves them."""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka.record.util import calc_crc32c

from infra.services import LocalServices
from schemas import codec
from schemas.dead_letters import DeadLetter
from schemas.reasons import Reason
from schemas.results import Match
from sinks.redis import RedisResults, RedisSink
from streams.engine.sink_worker import SinkWorker
from streams.engine.stage_unreadable import StageUnreadable
from streams.kafka.connection import admin_client
from streams.kafka.consumer_groups import committed_offsets, group_id
from streams.kafka.log_reader import LogReader, read_topic
from streams.kafka.messages import Message, TopicPartition
from streams.kafka.partition_counts import partition_counts
from streams.kafka.topic_admin import create
from streams.kafka.topics import Topic
from streams.kafka.unreadable import LogUnreadable, NothingToPass, look_now, pass_over
from streams.observability.health_server import HealthServer, MonitoredWorker
from streams.operations.doctor.finding import Finding, Status
from streams.operations.doctor.logs import check
from streams.operations.doctor.remedies import Remedy
from streams.roles import Role
from streams.settings import Settings
from tests.sinks.examples import match
from tests.streams.cli.conftest import environment
from tests.streams.cli.conftest import run as command
from tests.streams.engine.test_stage import running as stage_running
from tests.streams.engine.test_stage import send, until
from tests.streams.operations.doctor.ledger import heals, look
from tests.waiting import wait_until

Damage = Callable[[bytearray], bytearray]
USER = b"ursula"
BAD = 1
"""The offset of the batch that is damaged; each batch has one message."""


def flipped(batch: bytearray) -> bytearray:
    batch[-3] ^= 0xFF
    return batch


def codec_bits(number: int) -> Damage:
    """A batch that says it is compressed and is not, with a checksum that is right."""

    def change(batch: bytearray) -> bytearray:
        batch[22] = (batch[22] & ~7) | number
        struct.pack_into(">I", batch, 17, calc_crc32c(bytes(batch[21:])))
        return batch

    return change


def length(value: int) -> Damage:
    def change(batch: bytearray) -> bytearray:
        struct.pack_into(">i", batch, 8, value)
        return batch

    return change


DAMAGES = {
    "checksum": flipped,
    "rubbish": codec_bits(4),
    "codec": codec_bits(6),
    "cut off": length(100_000),
    "too short": length(20),
}

LONG = ("rubbish", "cut off", "too short")
"""What ``make test-long`` tries; the others stand for bytes that were changed, and for a codec that nobody knows."""

KINDS = {kind: pytest.param(kind, marks=pytest.mark.long if kind in LONG else ()) for kind in DAMAGES}

NOTHING_BEHIND = ("cut off", "too short")
"""With a wrong length the broker itself finds no batch behind this one in the file."""


@dataclass(frozen=True)
class Cluster:
    """Topics of its own on the shared broker, and its files."""

    settings: Settings
    data: Path

    def damage(self, topic: Topic, damage: Damage, number: int = 0) -> None:
        """Damage the batch at :data:`BAD`; the broker reads it from the same pages of memory."""
        path = self.data / f"{topic.named(self.settings)}-{number}" / f"{0:020}.log"
        data, at = path.read_bytes(), 0
        for _ in range(BAD):
            at += 12 + struct.unpack_from(">i", data, at + 8)[0]
        size = 12 + struct.unpack_from(">i", data, at + 8)[0]
        with path.open("r+b") as file:
            file.seek(at)
            file.write(damage(bytearray(data[at : at + size])))

    def source(self, topic: Topic) -> TopicPartition:
        return TopicPartition(topic.named(self.settings), 0)

    def committed(self, role: Role, topic: Topic) -> int | None:
        return committed_offsets(self.settings, group_id(role, self.settings)).get(
            TopicPartition(topic.named(self.settings), 0)
        )

    def findings(self) -> list[Finding]:
        admin = admin_client(self.settings)
        found = list(check(admin, self.settings, partition_counts(admin, self.settings)))
        look(found)
        return found

    def letters(self) -> list[DeadLetter]:
        return [codec.decode(one.value, DeadLetter) for one in read_topic(self.settings, Topic.DEAD_LETTERS)]


@pytest.fixture
def cluster(services: LocalServices, tmp_path: Path) -> Cluster:
    name = f"unreadable-{uuid4().hex[:8]}"
    made = Settings(
        **services.addresses.settings(),
        home=tmp_path,
        topic_prefix=f"{name}.",
        redis_prefix=f"{name}:",
        partitions=2,
        commit_interval_s=0.1,
        health_port=0,
    )
    create(admin_client(made), made)
    return Cluster(made, services.folder / "kafka" / "data")


@pytest.mark.parametrize("kind", KINDS.values())
def test_a_stage_is_held_up_in_that_partition_only_until_it_is_passed(cluster: Cluster, kind: str) -> None:
    asyncio.run(held_up_until_it_is_passed(cluster, kind))


async def held_up_until_it_is_passed(cluster: Cluster, kind: str) -> None:
    settings, done = cluster.settings, list[bytes]()

    async def process(batch: Sequence[Message]) -> None:
        done.extend(message.value or b"" for message in batch)

    await asyncio.to_thread(send, settings, Topic.FRAMES, [b"0", b"bad", b"2", b"3"], USER)
    await asyncio.to_thread(send, settings, Topic.FRAMES, [b"other 0", b"other 1"], USER, 1)
    cluster.damage(Topic.FRAMES, DAMAGES[kind])
    source = cluster.source(Topic.FRAMES)
    async with stage_running(settings, process) as worker:
        heartbeat = worker.stage.heartbeat
        unreadable = StageUnreadable(worker.app, settings, heartbeat, worker.stage.pass_over)
        # As a worker does, whose probe has found that this partition does not come.
        caring = asyncio.create_task(unreadable.run(lambda: [source]))
        await until(lambda: len(done) == 3 and bool(heartbeat.unreadable), 90)
        assert sorted(done) == [b"0", b"other 0", b"other 1"]
        found = heartbeat.unreadable[source]
        assert (found.offset, found.end) == (BAD, 2 if kind not in NOTHING_BEHIND else 4)
        await until(lambda: cluster.committed(Role.EMBED, Topic.FRAMES) == BAD, 60)
        passed = await asyncio.to_thread(pass_over, settings, source, BAD)
        assert passed == found
        await until(lambda: cluster.committed(Role.EMBED, Topic.FRAMES) == 4, 90)
        assert not heartbeat.unreadable
        assert not worker.app.crashed
        caring.cancel()
    assert sorted(done) == sorted([b"0", b"other 0", b"other 1", *([b"2", b"3"] if kind not in NOTHING_BEHIND else [])])
    (letter,) = await asyncio.to_thread(cluster.letters)
    assert (letter.topic, letter.partition, letter.offset) == (source.topic, 0, BAD)
    assert (letter.value, letter.reason, letter.headers[0].value) == (None, Reason.UNREADABLE, b"%d" % found.end)
    assert worker.rejected == []


@contextmanager
def sink(settings: Settings) -> Iterator[SinkWorker]:
    """A worker for Redis in this process."""
    worker = SinkWorker(
        Role.SINK_REDIS,
        settings,
        RedisSink(settings.redis_url, settings.redis_prefix),
        {Topic.MATCHES: Match},
        batch_size=50,
        linger_s=0.0,
    )
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    try:
        yield worker
    finally:
        stop.set()
        thread.join(60)
    assert not thread.is_alive()


@pytest.mark.parametrize("kind", KINDS.values())
@heals(Remedy.SKIP_UNREADABLE)
def test_a_sink_is_held_up_in_that_partition_only_until_it_is_passed(cluster: Cluster, kind: str) -> None:
    """Its health and its metrics name it meanwhile, and so does the doctor."""
    settings = cluster.settings
    events = [match(camera_id=f"c{number}") for number in range(6)]
    send(settings, Topic.MATCHES, [codec.encode(one) for one in events[:4]], USER)
    send(settings, Topic.MATCHES, [codec.encode(one) for one in events[4:]], USER, 1)
    cluster.damage(Topic.MATCHES, DAMAGES[kind])
    source, last = cluster.source(Topic.MATCHES), 2 if kind not in NOTHING_BEHIND else 4
    with sink(settings) as worker, closing(RedisResults(settings.redis_url, settings.redis_prefix)) as results:
        assert len(results.wait_for([events[0].event_id, events[4].event_id, events[5].event_id], 60)) == 3
        wait_until(lambda: source in worker.heartbeat.unreadable, 90)
        with HealthServer(Role.SINK_REDIS, "sink", settings) as health:
            health.follow(MonitoredWorker(worker.heartbeat, worker.facts))
            (said,) = health.report()["unreadable"]
        assert (said["topic"], said["partition"], said["offset"], said["end_offset"]) == (source.topic, 0, BAD, last)
        assert cluster.committed(Role.SINK_REDIS, Topic.MATCHES) == BAD
        (finding,) = [one for one in cluster.findings() if one.name == f"log of {source.topic} 0"]
        assert finding.status is Status.FAIL
        assert finding.remedy is not None
        assert f"facestream dead-letters pass {source.topic} 0 {BAD}" in finding.remedy
        pass_over(settings, source, BAD)
        wait_until(lambda: cluster.committed(Role.SINK_REDIS, Topic.MATCHES) == 4, 90)
        assert not worker.heartbeat.unreadable
        kept = events if kind not in NOTHING_BEHIND else [events[0], *events[4:]]
        wanted = {one.event_id for one in kept if one is not events[BAD]}
        assert set(results.wait_for(list(wanted), 60)) == wanted
    assert cluster.findings() == []


@pytest.mark.parametrize("kind", [KINDS[kind] for kind in KINDS if kind != "cut off"])
def test_a_reader_reads_all_other_partitions_and_then_says_what_it_could_not(
    cluster: Cluster, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = cluster.settings
    monkeypatch.setattr("streams.kafka.log_reader._TIMEOUT_S", 3.0)  # it looks into silence
    monkeypatch.setattr("streams.kafka.log_reader._SILENCE_S", 3.0)
    send(settings, Topic.FEEDBACK, [b"0", b"bad", b"2"], USER)
    send(settings, Topic.FEEDBACK, [b"other"], USER, 1)
    cluster.damage(Topic.FEEDBACK, DAMAGES[kind])

    def by_log() -> Iterator[bytes | None]:
        with LogReader(settings, Topic.FEEDBACK) as log:
            for message in log.messages(log.since({})):
                yield message.value

    def by_reader() -> Iterator[bytes | None]:
        for message in read_topic(settings, Topic.FEEDBACK):
            yield message.value

    for read in (by_log, by_reader):
        reading = read()
        got: list[bytes] = []
        with pytest.raises(LogUnreadable, match=rf"facestream dead-letters pass \S+feedback 0 {BAD}$"):
            while True:
                got.append(next(reading) or b"")
        assert sorted(got) == [b"0", b"other"]
    pass_over(settings, cluster.source(Topic.FEEDBACK), BAD)
    for read in (by_log, by_reader):
        behind = [] if kind in NOTHING_BEHIND else [b"2"]
        assert sorted(one or b"" for one in read()) == [b"0", *behind, b"other"]


def test_the_command_passes_what_cannot_be_read_and_nothing_else(cluster: Cluster) -> None:
    settings, source = cluster.settings, cluster.source(Topic.FRAMES)
    send(settings, Topic.FRAMES, [b"0", b"bad", b"2"], USER)
    with pytest.raises(NothingToPass, match="can be read at offset 1"):
        pass_over(settings, source, BAD)
    with pytest.raises(NothingToPass, match="facestream topics list"):
        pass_over(settings, TopicPartition(source.topic, 7), BAD)
    assert look_now(settings, source, 3) is None
    cluster.damage(Topic.FRAMES, flipped)
    values = settings.model_dump(mode="json", exclude_unset=True)
    variables = environment(**{f"FACESTREAM_{name.upper()}": str(value) for name, value in values.items()})
    for _ in range(2):
        ended = command(("dead-letters", "pass", source.topic, "0", BAD, "--json"), variables, settings.home)
        assert ended.code == 0, ended
        assert ended.json["end_offset"] == 2
    assert {one.letter_id for one in cluster.letters()} == {ended.json["letter_id"]}
    refused = command(("dead-letters", "pass", source.topic, "0", "0"), variables, settings.home)
    assert refused.code == 1
    assert "there is nothing to pass" in refused.err
