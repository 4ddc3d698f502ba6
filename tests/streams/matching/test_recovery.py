"""How the local copy of a gallery partition gets what its changelog has, fast and never less or more than that."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import confluent_kafka
import faust
import pytest
from aiokafka.errors import KafkaConnectionError
from confluent_kafka.admin import NewTopic
from faust.types import TP
from hypothesis import HealthCheck, given
from hypothesis import settings as example_settings
from hypothesis import strategies as st

from infra.services import LocalServices
from schemas import codec, template_records
from schemas.ids import new_event_id
from streams.engine.faust_app import make_app, table_options
from streams.kafka.bulk_reader import read_bulk
from streams.kafka.connection import KafkaUnavailable, admin_client, client_config
from streams.kafka.messages import TopicPartition
from streams.matching import gallery_table
from streams.matching.changelog import TABLE, TOMBSTONES_S
from streams.matching.gallery_shard import GalleryShard, key_of, load, template_key
from streams.matching.gallery_table import Entry, GalleryTable
from streams.matching.standby_shards import StandbyShards
from streams.roles import Role
from streams.settings import Settings
from tests.streams.matching.test_template_batches import template
from tests.waiting import wait_until

IDS = [new_event_id() for _ in range(4)]


@pytest.fixture
def settings(services: LocalServices) -> Settings:
    return Settings(**services.addresses.settings(), topic_prefix=f"recovery-{uuid.uuid4().hex[:8]}.", partitions=1)


def make_table(settings: Settings, folder: Path) -> GalleryTable:
    app = make_app(Role.MATCH, settings, partitions=1, folder=folder, table_type=GalleryTable)
    made = app.Table(TABLE, key_type=bytes, value_type=bytes, options=table_options(), partitions=1)
    table = cast(GalleryTable, made)
    table.settings = settings
    return table


def put(number: int, subject: str = "anna", **changes: Any) -> Entry:
    one = template(0, subject, **{"template_id": IDS[number]} | changes)
    return template_key(one), template_records.encode(one)


def gone(number: int) -> Entry:
    return key_of("ursula", IDS[number], "one"), None


def write(settings: Settings, topic: str, entries: Sequence[Entry], *, ends_with_abort: bool = False) -> TopicPartition:
    """A changelog with these entries."""
    admin = admin_client(settings)
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
    producer = confluent_kafka.Producer(client_config(settings))
    for key, value in entries:
        producer.produce(topic, value, key, 0)
    assert producer.flush(30) == 0
    if ends_with_abort:
        producer = confluent_kafka.Producer(client_config(settings) | {"transactional.id": str(uuid.uuid4())})
        producer.init_transactions(30)
        producer.begin_transaction()
        producer.produce(topic, b"never", b"aborted", 0)
        producer.flush(30)
        producer.abort_transaction(30)
    return TopicPartition(topic, 0)


def expected(entries: Sequence[Entry]) -> dict[bytes, bytes]:
    found: dict[bytes, bytes | None] = {}
    found.update(entries)
    return {key: value for key, value in found.items() if value is not None}


def test_a_log_is_read_in_bulk_up_to_an_offset_and_behind_marks(settings: Settings) -> None:
    entries: list[Entry] = [(b"%d" % number, None if number % 7 == 0 else b"x" * number) for number in range(500)]
    source = write(settings, f"{settings.topic_prefix}log", entries, ends_with_abort=True)
    with confluent_kafka_consumer(settings) as client:
        log = confluent_kafka.TopicPartition(source.topic, 0)
        # With the aborted record, and the mark, which the broker writes after it has answered.
        wait_until(lambda: client.get_watermark_offsets(log)[1] == 502)
    for first, last in ((0, 500), (0, 502), (499, 502), (120, 121), (500, 502)):
        read = list(read_bulk(settings, source, first, last))
        assert [one for records in read for one in records.entries] == entries[first:last]
        assert read[-1].next_offset == last
    assert list(read_bulk(settings, source, 502, 502)) == []


class confluent_kafka_consumer:  # noqa: N801
    def __init__(self, settings: Settings) -> None:
        self._client = confluent_kafka.Consumer(client_config(settings) | {"group.id": str(uuid.uuid4())})

    def __enter__(self) -> confluent_kafka.Consumer:
        return self._client

    def __exit__(self, *_: object) -> None:
        self._client.close()


def test_a_table_catches_up_and_goes_on_where_it_was_killed(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gallery_table, "_FEW", 1)
    monkeypatch.setattr("streams.kafka.bulk_reader._AT_ONCE", 7)
    entries = [put(number % 4, x=float(number)) if number % 3 else gone(number % 4) for number in range(100)]

    async def run() -> None:
        table = make_table(settings, tmp_path)
        write(settings, table.changelog_topic_name, entries)
        reached: list[int] = []

        def killed(offset: int) -> None:
            reached.append(offset)
            if len(reached) == 3:
                raise KafkaUnavailable("killed")

        with pytest.raises(KafkaUnavailable):
            await table.catch_up(0, 99, killed)
        offset = table.written_to(0)
        assert offset == reached[-1]
        assert 0 < offset < 99
        assert dict(table.entries(0)) == expected(entries[: offset + 1])
        assert not table.discard_stale(0), "it was begun just now, so nothing of it is thrown away"
        assert await table.catch_up(0, 99, reached.append) == 99
        assert reached == sorted(set(reached))
        assert dict(table.entries(0)) == expected(entries)
        assert await table.catch_up(0, 99, reached.append) == 99  # nothing is left

    asyncio.run(run())


def test_what_a_rebalance_ends_writes_nothing_more(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gallery_table, "_FEW", 1)
    monkeypatch.setattr("streams.kafka.bulk_reader._AT_ONCE", 7)
    entries = [put(number % 4, x=float(number)) for number in range(100)]

    async def run() -> None:
        table = make_table(settings, tmp_path)
        write(settings, table.changelog_topic_name, entries)
        at_first = asyncio.Event()
        loop = asyncio.get_running_loop()

        def slowly(_: int) -> None:
            loop.call_soon_threadsafe(at_first.set)
            time.sleep(0.2)

        first = asyncio.create_task(table.catch_up(0, 99, slowly))
        await at_first.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        # The next one waits for the batch in hand.
        assert await table.catch_up(0, 99, lambda _: None) == 99
        assert dict(table.entries(0)) == expected(entries)

    asyncio.run(run())


@pytest.fixture
def table(tmp_path: Path) -> Iterator[GalleryTable]:
    async def made() -> GalleryTable:
        return make_table(Settings(kafka="127.0.0.1:1"), tmp_path)

    yield asyncio.run(made())


def apply(table: GalleryTable, entries: Sequence[Entry], first: int) -> None:
    """What Faust does with records of the changelog."""
    events = [
        SimpleNamespace(
            message=SimpleNamespace(
                tp=TP(table.changelog_topic_name, 0), partition=0, offset=first + number, key=key, value=value
            )
        )
        for number, (key, value) in enumerate(entries)
    ]
    table.apply_changelog_batch(events)


def held(shard: GalleryShard) -> dict[str, Any]:
    ids = sorted(shard.of("ursula", None))
    return {
        "ids": ids,
        "subjects": {name: sorted(shard.of("ursula", name)) for name in ("anna", "otto")},
        "size": (shard.size.users, shard.size.templates),
        "complete": shard.is_complete("ursula", "one"),
    }


_entries = st.lists(
    st.one_of(
        st.builds(put, st.integers(0, 3), st.sampled_from(["anna", "otto"]), x=st.integers(0, 9).map(float)),
        st.builds(gone, st.integers(0, 3)),
    ),
    min_size=1,
    max_size=12,
)


@example_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(entries=_entries, cuts=st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(0, 12)))
def test_a_decoded_copy_is_what_the_table_says_however_late_it_was_decoded(
    entries: list[Entry], cuts: tuple[int, int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changes before it is read, while it is read (of which the reader may see some or none), and after that."""

    async def run() -> None:
        table = make_table(Settings(kafka="127.0.0.1:1"), tmp_path / uuid.uuid4().hex)
        standbys = StandbyShards(table)
        one, two, three = sorted(min(cut, len(entries)) for cut in cuts)
        if one:
            apply(table, entries[:one], 0)

        def load_meanwhile(of: GalleryTable, partition: int, *kept_as: Any) -> Any:
            if one < two:
                apply(of, entries[one:two], one)
            found = load(of, partition, *kept_as)
            if two < three:
                apply(of, entries[two:three], two)
            return found

        with monkeypatch.context() as changed:
            changed.setattr("streams.matching.standby_shards.load", load_meanwhile)
            await standbys.decode(0)
        for number in range(three, len(entries)):
            apply(table, entries[number : number + 1], number)
        gallery = standbys.take(0, table.written_to(0))
        assert gallery is not None
        assert held(gallery.shard) == held(load(table, 0)[0])
        assert standbys.take(0, table.written_to(0)) is None

    asyncio.run(run())


def test_a_copy_that_missed_something_is_not_handed_over(table: GalleryTable) -> None:
    async def run() -> None:
        standbys = StandbyShards(table)
        apply(table, [put(0)], 0)
        await standbys.decode(0)
        assert standbys.has(0)
        assert standbys.take(0, 7) is None
        await standbys.decode(0)
        table.data.set_persisted_offset(TP(table.changelog_topic_name, 0), 4)  # something else has written it
        apply(table, [gone(0)], 5)
        assert not standbys.has(0)
        await standbys.decode(0)
        standbys.keep([1])
        assert not standbys.has(0)

    asyncio.run(run())


def test_a_copy_with_a_template_under_another_spelling_is_left_to_its_owner(table: GalleryTable) -> None:
    async def run() -> None:
        standbys = StandbyShards(table)
        apply(table, [put(0)], 0)
        await standbys.decode(0)
        stray = replace(template(0), template_id=IDS[1])
        apply(table, [(key_of("u\u0308", IDS[1], "one"), codec.encode(stray))], 1)
        assert not standbys.has(0)
        await standbys.decode(0)
        assert not standbys.has(0)

    asyncio.run(run())


def test_a_copy_is_emptied_if_the_changelog_may_have_forgotten_removals_since(table: GalleryTable) -> None:
    """The template of somebody who was erased meanwhile would come back otherwise."""

    async def run() -> None:
        assert not table.discard_stale(0)  # there is nothing yet
        apply(table, [put(0)], 0)
        table.note_current(0)
        assert not table.discard_stale(0)
        assert dict(table.entries(0)) == expected([put(0)])
        [stamp] = (Path(cast(faust.App, table.app).conf.datadir) / "current").iterdir()
        old = time.time() - TOMBSTONES_S
        os.utime(stamp, (old, old))
        assert table.discard_stale(0)
        assert (dict(table.entries(0)), table.written_to(0)) == ({}, None)
        apply(table, [put(1)], 9)
        assert dict(table.entries(0)) == expected([put(1)])
        stamp.unlink()
        assert table.discard_stale(0)

    asyncio.run(run())


def test_a_removal_that_the_changelog_has_not_is_in_no_copy(
    table: GalleryTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that ends now repeats the erasure, and must find the template, or it stays in the changelog for ever."""

    async def away(*_: object) -> None:
        raise KafkaConnectionError

    async def run() -> None:
        apply(table, [put(0)], 0)
        monkeypatch.setattr(gallery_table, "deliver", away)
        with pytest.raises(KafkaConnectionError):
            await table.write([(0, *gone(0)), (0, *put(1))])
        assert dict(table.entries(0)) == expected([put(0)])

    asyncio.run(run())
