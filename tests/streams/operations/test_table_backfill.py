"""A table that was deleted or emptied is filled again from Kafka, each event once, whatever happens meanwhile."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import Any

import confluent_kafka
import pytest

from infra.services import LocalServices
from schemas import codec
from schemas.clock import utc_now
from schemas.erasure import Erasure
from schemas.ids import new_event_id
from schemas.results import Match
from sinks.bigquery import Address, BigQuerySink, run_query
from streams.engine.sink_worker import SinkWorker
from streams.kafka.consumer_groups import commits, group_id
from streams.kafka.messages import TopicPartition, to_confluent
from streams.kafka.offsets import next_offsets
from streams.kafka.topic_admin import create
from streams.kafka.topics import Topic
from streams.operations.doctor.remedies import Remedy
from streams.operations.doctor.rows import check as look_for_rows
from streams.operations.table_backfill import TableBackfill, TableBackfilled
from streams.roles import Role
from tests.sinks.examples import match
from tests.sinks.servers import apply_tables
from tests.streams.cli.conftest import command
from tests.streams.operations.doctor.clusters import Cluster, end
from tests.streams.operations.doctor.ledger import heals, look
from tests.waiting import wait_until


@contextmanager
def sink(table: Table) -> Iterator[None]:
    """A worker of the sink's role, in a thread."""
    settings, stop = table.cluster.settings, Flag()
    writes = BigQuerySink(table.address, {table.topic: Match})
    worker = SinkWorker(Role.SINK_BIGQUERY, settings, writes, {Topic.MATCHES: Match}, batch_size=500, linger_s=0.1)
    thread = Thread(target=worker.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


class Table:
    """The table of matches of a cluster of its own, and its sink."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        settings = cluster.settings
        self.address = Address(
            settings.bigquery_project, settings.bigquery_dataset, settings.bigquery_rest, settings.bigquery_grpc
        )
        self.client = self.address.rest_client()
        self.topic = Topic.MATCHES.named(settings)
        self.producer = confluent_kafka.Producer({"bootstrap.servers": settings.kafka})

    def send(self, events: list[Match], topic: str | None = None) -> None:
        """Put them on the topic; each user's in one partition."""
        for event in events:
            number = int(event.user_id.removeprefix("user-")) % 2
            self.producer.produce(topic or self.topic, codec.encode(event), event.user_id.encode(), number)
        assert self.producer.flush(30) == 0

    def ends(self) -> dict[TopicPartition, int]:
        parts = [TopicPartition(topic.named(self.cluster.settings), n) for topic in Topic for n in range(2)]
        return next_offsets(self.cluster.admin, parts)

    def await_commits(self) -> None:
        """Wait until the sink has written all."""
        wanted = {key: at for key, at in self.ends().items() if key.topic == self.topic}

        def so() -> bool:
            known = commits(self.cluster.settings, group_id(Role.SINK_BIGQUERY, self.cluster.settings))
            return all(key in known and known[key].offset >= at for key, at in wanted.items())

        wait_until(so)

    def rows(self) -> Counter[str]:
        sql = "SELECT event_id, replay_id FROM matches"
        found = run_query(self.client, sql, dataset=self.address.dataset_id).rows
        return Counter(row["event_id"] + (row["replay_id"] or "") for row in found)

    def delete(self) -> None:
        self.client.delete_table(f"{self.address.dataset_id}.matches")
        apply_tables(self.address)

    def fill(self) -> TableBackfilled:
        with TableBackfill(self.cluster.settings, Topic.MATCHES, dry_run=False, report=lambda *_: None) as one:
            return one.run()


def matches(count: int, **changes: Any) -> list[Match]:
    return [
        dataclasses.replace(match(), event_id=new_event_id(), user_id=f"user-{n % 7}", **changes) for n in range(count)
    ]


@pytest.fixture
def table(services: LocalServices, tmp_path: Path) -> Iterator[Table]:
    cluster = Cluster(services, tmp_path)
    create(cluster.admin, cluster.settings)
    table = Table(cluster)
    apply_tables(table.address)
    yield table


@pytest.mark.long
@heals(Remedy.FILL)
def test_a_table_that_was_deleted_while_the_sink_runs(table: Table) -> None:
    cluster = table.cluster
    events = matches(60)
    replayed = [dataclasses.replace(one, replay_id="r1") for one in events[:5]]
    gone = matches(3)[1:2]  # user-1
    with sink(table):
        table.send([*events, *replayed, events[0], *gone])
        table.producer.produce(table.topic, b"rubbish", b"user-1", 1)
        assert table.producer.flush(30) == 0
        table.await_commits()
        whole = table.rows()
        assert set(whole.values()) == {1}
        assert len(whole) == 66
        assert "rows of matches" not in look(look_for_rows(cluster.settings))

        table.delete()
        found = look(look_for_rows(cluster.settings))["rows of matches"]
        assert found.remedy == "facestream bigquery fill matches"
        before = table.ends()
        dry = cluster.run("bigquery", "fill", "matches", "--dry-run", "--json").json["tables"][0]
        assert (dry["filled"], dry["there"], dry["unreadable"], dry["gone"]) == (66, 1, 1, 0)
        assert not table.rows()

        later = matches(40)
        table.send(later[:20])
        ended = cluster.run(*found.remedy.split()[1:], "--json")
        assert ended.code == 0, ended.err
        assert ended.json["tables"][0]["kept_since"] is None
        table.send([*later[20:], events[3]])
        table.await_commits()
        assert table.rows() == whole + Counter(one.event_id for one in later)
        assert "rows of matches" not in look(look_for_rows(cluster.settings))
        others = {
            key: at for key, at in table.ends().items() if key.topic not in (table.topic, cluster.name("replays"))
        }
        assert others == {key: at for key, at in before.items() if key in others}, "nobody else sees anything"


@pytest.mark.long
def test_rows_that_are_left_and_rows_that_nobody_can_bring_back(table: Table) -> None:
    events = matches(50)
    with sink(table):
        table.send(events)
        table.await_commits()
    whole = table.rows()
    run_query(table.client, "DELETE FROM matches WHERE kafka_partition = 1", dataset=table.address.dataset_id)
    left = table.rows()
    lost = len(whole) - len(left)
    cut = [to_confluent(TopicPartition(table.topic, 0), 4), to_confluent(TopicPartition(table.topic, 1), 3)]
    for future in table.cluster.admin.delete_records(cut).values():
        future.result(20)
    found = table.fill()
    assert (found.filled, found.there, found.gone) == (lost - 3, len(left) - 4, 3)
    assert found.kept_since is not None
    assert len(table.rows()) == len(whole) - 3
    assert set(table.rows().values()) == {1}
    sql = "SELECT COUNTIF(written_latency_ms IS NULL) AS belated FROM matches"
    assert run_query(table.client, sql, dataset=table.address.dataset_id).rows == [{"belated": found.filled}]
    assert table.fill().filled == 0


@pytest.mark.long
def test_an_event_that_comes_again_after_the_table_was_filled(table: Table) -> None:
    """The sink began on an empty table, and knows of no row that the fill has written."""
    events = matches(30)
    with sink(table):
        table.send(events)
        table.await_commits()
    table.delete()
    with sink(table):
        later = matches(10)
        table.send(later)
        table.await_commits()
        table.send(events[:3])
        table.await_commits()
        found = table.fill()
        assert (found.filled, found.there) == (27, 16)
        table.send([*events, *later])
        table.await_commits()
        assert table.rows() == Counter(one.event_id for one in (*events, *later))


@pytest.mark.long
def test_what_both_wrote_is_there_once(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sink writes an event that came again just between our look and our write."""
    events = matches(20)
    with sink(table):
        table.send(events)
        table.await_commits()
    table.delete()
    with sink(table):
        table.send(matches(7))
        table.await_commits()
        write = TableBackfill._write_missing

        def again_first(self: TableBackfill, deliveries: Any) -> Any:
            written = write(self, deliveries)
            if written:
                table.send(events[:5])
                table.await_commits()
            return written

        monkeypatch.setattr(TableBackfill, "_write_missing", again_first)
        found = table.fill()
        assert found.filled == 15
        rows = table.rows()
        assert set(rows.values()) == {1}
        assert {one.event_id for one in events} <= set(rows)


@pytest.mark.long
def test_who_is_erased_meanwhile_does_not_come_back(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    events = matches(30)
    with sink(table):
        table.send(events)
        table.await_commits()
    table.delete()
    write = TableBackfill._write_missing
    erased = "user-3"

    def then_erase(self: TableBackfill, deliveries: Any) -> Any:
        written = write(self, deliveries)
        if not told:
            told.append(True)
            request = Erasure(new_event_id(), erased, utc_now(), None, Role.MATCH)
            topic = Topic.ERASURES.named(table.cluster.settings)
            table.producer.produce(topic, codec.encode(request), erased.encode(), 1)
            assert table.producer.flush(30) == 0
        return written

    told: list[bool] = []
    monkeypatch.setattr(TableBackfill, "_write_missing", then_erase)
    found = table.fill()
    theirs = {one.event_id for one in events if one.user_id == erased}
    assert found.erased == len(theirs)
    assert table.rows() == Counter(one.event_id for one in events if one.event_id not in theirs)


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.long)])
def test_a_fill_that_is_killed_or_frozen_and_begun_again(table: Table, tmp_path: Path, number: signal.Signals) -> None:
    events = matches(1_500)
    with sink(table):
        table.send(events)
        table.await_commits()
    table.delete()
    with (tmp_path / "fill.log").open("wb") as log:
        first = subprocess.Popen(
            command("bigquery", "fill", "matches"), env=table.cluster.variables, stdout=log, stderr=log
        )
    try:
        wait_until(lambda: table.rows() or first.poll() is not None)
        first.send_signal(number)
        assert table.fill().filled > 0 or first.poll() == 0
        first.send_signal(signal.SIGCONT)
        first.wait(60)
    finally:
        end(first)
    assert table.rows() == Counter(one.event_id for one in events)
