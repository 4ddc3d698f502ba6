"""Each event once in the table itself, whatever comes twice, breaks, freezes or is forgotten."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.cloud.bigquery import SchemaField
from google.cloud.bigquery import Table as BigQueryTable

from schemas.partition import TopicPartition
from schemas.parts import Refusal
from sinks.base import Delivery, RejectedRow, Result, SinkFenced, SinkUnavailable
from sinks.bigquery import Address, run_query
from sinks.bigquery.tables import TABLES, event_id
from tests.sinks.bigquery_worker import PARTITIONS, Worker
from tests.sinks.conftest import new_address
from tests.sinks.examples import NOW, dead_letter, delivery, enrolment, match
from tests.sinks.proxy import Proxy
from tests.sinks.servers import BigQuery, apply_tables
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def tables(bigquery: BigQuery) -> Address:
    address = new_address(bigquery)
    apply_tables(address)
    return address


@pytest.fixture
def dataset(tables: Address) -> Address:
    for table in TABLES:
        run_query(tables.rest_client(), f"TRUNCATE TABLE {table.name}", dataset=tables.dataset_id)
    return tables


@pytest.fixture
def workers(dataset: Address) -> Iterator[Callable[..., Worker]]:
    """Makes workers of one consumer group."""
    committed: dict[TopicPartition, str] = {}
    made: list[Worker] = []

    def make(address: Address = dataset, **options: Any) -> Worker:
        made.append(Worker(address, committed, **options))
        return made[-1]

    yield make
    for worker in made:
        worker.sink.close()


@pytest.fixture
def proxy(dataset: Address) -> Iterator[Proxy]:
    assert dataset.grpc is not None
    proxy = Proxy(dataset.grpc)
    yield proxy
    proxy.stop()


def behind(proxy: Proxy, dataset: Address) -> Address:
    return dataclasses.replace(dataset, grpc=proxy.address)


def rows(dataset: Address, table: str = "matches") -> list[dict[str, Any]]:
    return run_query(dataset.rest_client(), f"SELECT * FROM {table}", dataset=dataset.dataset_id).rows


def assert_each_once(dataset: Address, batch: Sequence[Delivery], table: str = "matches") -> None:
    column = "letter_id" if table == "dead_letters" else "event_id"
    wanted = {event_id(one.event) for one in batch}
    assert Counter(row[column] for row in rows(dataset, table)) == Counter(wanted)


def is_fenced(worker: Worker, batch: Sequence[Delivery]) -> bool:
    """Whether the worker is told so; a channel that found no server a moment ago does not look for it at once."""
    try:
        worker.sink.write(batch)
    except SinkUnavailable:
        return False
    except SinkFenced:
        return True
    raise AssertionError("it was written")


def matches(count: int, first: int = 0, **changes: Any) -> list[Delivery]:
    return [delivery(match(sequence=n, **changes), n, n % 2) for n in range(first, first + count)]


def test_a_row_holds_all_of_its_event(workers: Callable[..., Worker], dataset: Address) -> None:
    event, live = match(replay_id="r1", subject_id="anna"), match()
    workers().take_over().write([delivery(event, 7, 1), delivery(live, 8, 1)])
    of_live, row = sorted(rows(dataset), key=lambda row: row["event_id"] == event.event_id)
    face, found = event.faces[0], row["faces"][0]
    assert found["box"] == {"x": -1.5, "y": 2.0, "width": 100.0, "height": 120.0}
    assert found["quality"]["sharpness"] == 120.25
    assert (found["decision"], found["subject_id"], found["landmarks"]) == ("match", "anna", face.landmarks)
    assert found["candidates"] == [{"subject_id": "anna", "similarity": 0.75, "distance": 0.25, "fmr": 1e-5}]
    assert (row["captured_at"], row["matched_at"]) == (event.captured_at, event.matched_at)
    assert (row["claimed_subject_id"], row["replay_id"], row["refusal_reason"]) == ("anna", "r1", None)
    assert (row["kafka_topic"], row["kafka_partition"], row["kafka_offset"]) == ("matches", 1, 7)
    assert (of_live["queued_latency_ms"], of_live["embed_latency_ms"], of_live["decide_latency_ms"]) == (5, 20, 5)
    assert of_live["decided_latency_ms"] == 30 < of_live["written_latency_ms"]
    assert (row["embed_latency_ms"], row["decide_latency_ms"]) == (20, 5)
    assert (row["queued_latency_ms"], row["decided_latency_ms"], row["written_latency_ms"]) == (None, None, None)


def test_every_column_is_filled_by_some_event(workers: Callable[..., Worker], dataset: Address) -> None:
    refusal = Refusal("no_face", "no face was found")
    events = [
        *(match(), match(subject_id="a", refusal=refusal, replay_id="r")),
        *(enrolment(), enrolment(refusal=refusal, replay_id="r"), dead_letter()),
        enrolment(repeats="an upload", similar_subject_id="b", detail="as near to b"),
    ]
    workers().take_over().write([delivery(event, n) for n, event in enumerate(events)])
    for table in ("matches", "enrolments", "dead_letters"):
        found = rows(dataset, table)
        empty = [name for name in found[0] if all(row[name] is None for row in found)]
        assert empty == []


@pytest.mark.parametrize(
    ("make", "table"), [(match, "matches"), (enrolment, "enrolments"), (dead_letter, "dead_letters")]
)
def test_an_event_that_comes_again_has_one_row(
    workers: Callable[..., Worker], dataset: Address, make: Callable[[], Result], table: str
) -> None:
    batch = [delivery(make(), n, n % 2) for n in range(30)]
    first = workers().take_over()
    first.write(batch[:20])
    first.write(batch[5:])
    # Sent twice by its producer, embedded twice by a worker that died: same event, other offsets, one batch or two.
    again = [dataclasses.replace(one, offset=one.offset + 100) for one in batch]
    first.write([*again, *again])
    workers().take_over().write([*batch, *again])
    assert_each_once(dataset, batch, table)


def test_a_replay_has_rows_of_its_own(workers: Callable[..., Worker], dataset: Address) -> None:
    batch = matches(4)
    replayed = [dataclasses.replace(one, event=dataclasses.replace(one.event, replay_id="r")) for one in batch]  # type: ignore[type-var]
    worker = workers().take_over()
    worker.write([*batch, *replayed])
    worker.write([*replayed, *batch])
    assert Counter(row["replay_id"] for row in rows(dataset)) == {None: 4, "r": 4}


@pytest.mark.parametrize("year", [1970, 2100])
def test_an_event_of_an_impossible_time_has_one_row(
    workers: Callable[..., Worker], dataset: Address, year: int
) -> None:
    odd = matches(3, captured_at=datetime(year, 2, 1, tzinfo=UTC))
    batch = [*odd, *matches(3, first=3)]
    first = workers().take_over()
    first.write(batch)
    first.write(odd)
    workers().take_over().write([*odd, *batch])
    assert_each_once(dataset, batch)


def test_late_events_are_found_wherever_they_lie(workers: Callable[..., Worker], dataset: Address) -> None:
    batch = [
        delivery(match(captured_at=NOW - timedelta(hours=hours), matched_at=NOW), n)
        for n, hours in enumerate([0, 0.1, 1, 5, 23, 26, 24 * 30])
    ]
    workers().take_over().write(batch)
    second = workers().take_over()
    for one in batch:
        second.write([one, batch[0]])
    assert_each_once(dataset, batch)


def test_a_zombie_lands_nothing_after_its_successor_took_over(workers: Callable[..., Worker], dataset: Address) -> None:
    zombie = workers().take_over()
    zombie.write(matches(5))
    successor = workers().take_over()
    batch = matches(10, first=10)
    with pytest.raises(SinkFenced):
        zombie.sink.write(batch)
    with pytest.raises(SinkFenced):
        zombie.sink.write(batch)
    successor.write(batch)
    assert len(rows(dataset)) == 15


def test_a_zombie_that_takes_a_new_stream_cannot_write_without_its_commit(
    workers: Callable[..., Worker], dataset: Address
) -> None:
    zombie, taken, kept = workers().take_over(), TopicPartition("matches", 0), TopicPartition("matches", 1)
    successor = workers().take_over([taken])
    batch = matches(10)
    with pytest.raises(SinkFenced):
        zombie.sink.write(batch)
    zombie.give_up([taken])
    zombie.take_over([kept])
    with pytest.raises(SinkFenced):
        zombie.sink.write(batch)
    zombie.sink.write([one for one in batch if one.partition == kept])
    successor.sink.write([one for one in batch if one.partition == taken])
    assert_each_once(dataset, batch)


def test_what_a_dead_worker_wrote_without_a_commit_is_not_written_again(
    workers: Callable[..., Worker], dataset: Address
) -> None:
    batch = matches(1200)
    workers().take_over().write(batch[:700])
    workers().take_over().write(batch)
    assert_each_once(dataset, batch)


def test_an_append_whose_answer_was_lost_has_landed_once(
    workers: Callable[..., Worker], dataset: Address, proxy: Proxy
) -> None:
    worker, batch = workers(behind(proxy, dataset)).take_over(), matches(1500)
    proxy.lose_answers = 1
    with pytest.raises(SinkUnavailable):
        worker.sink.write(batch)
    proxy.lose_answers = 2
    worker.write(batch)
    assert_each_once(dataset, batch)


@pytest.mark.parametrize(
    "code",
    [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.RESOURCE_EXHAUSTED],
    ids=lambda code: code.name,
)
def test_errors_are_waited_out(
    workers: Callable[..., Worker], dataset: Address, proxy: Proxy, code: grpc.StatusCode
) -> None:
    worker, batch = workers(behind(proxy, dataset)).take_over(), matches(10)
    worker.write(batch[:5])
    proxy.refuse = code
    for _ in range(3):
        with pytest.raises(SinkUnavailable):
            worker.sink.write(batch)
        with pytest.raises(SinkUnavailable):
            workers(behind(proxy, dataset)).take_over()
    proxy.refuse = None
    worker.write(batch)
    assert_each_once(dataset, batch)


def test_a_slow_append_is_waited_for_and_not_sent_again(
    workers: Callable[..., Worker], dataset: Address, proxy: Proxy
) -> None:
    worker = workers(behind(proxy, dataset), timeout_s=1.0).take_over()
    batch, other = matches(600), matches(5, first=600)
    worker.write(matches(1, first=1000))
    appends = proxy.appends
    proxy.hold.set()
    for _ in range(3):
        with pytest.raises(SinkUnavailable):
            worker.sink.write(batch)
    proxy.hold.clear()
    # The batch need not be the same: a rebalance may have changed it.
    worker.write(other)
    worker.write(batch)
    assert proxy.appends - appends == 3
    assert len(rows(dataset)) == 606


def test_a_server_killed_and_restarted_forgets_the_stream_but_nothing_is_lost_or_doubled(
    workers: Callable[..., Worker], dataset: Address, bigquery: BigQuery
) -> None:
    zombie, worker, batch = workers(), workers(timeout_s=2), matches(900)
    zombie.take_over()
    worker.take_over().write(batch[:600])
    bigquery.kill()
    with pytest.raises(SinkUnavailable):
        worker.sink.write(batch)
    with pytest.raises(SinkUnavailable):
        workers(timeout_s=2).take_over()
    bigquery.start()
    wait_until(lambda: is_fenced(zombie, matches(1, first=5000)))
    worker.write(batch)
    workers().take_over().write(batch)
    assert_each_once(dataset, batch)


def test_a_frozen_server_holds_back_and_loses_nothing(
    workers: Callable[..., Worker], dataset: Address, bigquery: BigQuery
) -> None:
    worker, batch = workers(timeout_s=3).take_over(), matches(700)
    worker.write(batch[:10])
    bigquery.freeze()
    try:
        for _ in range(2):
            with pytest.raises(SinkUnavailable):
                worker.sink.write(batch)
    finally:
        bigquery.thaw()
    worker.write(batch)
    assert_each_once(dataset, batch)


def test_a_row_that_bigquery_will_not_take_does_not_hold_back_the_others(
    workers: Callable[..., Worker], dataset: Address
) -> None:
    batch = matches(1200)
    bad = {
        3: match(camera_id="broken \ud800 text"),
        700: match(sequence=2**70),
        800: dataclasses.replace(match(), model_version=5),  # type: ignore[arg-type]
    }
    for n, event in bad.items():
        batch[n] = dataclasses.replace(batch[n], event=event)
    worker = workers().take_over()
    with pytest.raises(RejectedRow) as caught:
        worker.sink.write(batch)
    assert [one.event for one in caught.value.deliveries] == list(bad.values())
    good = [one for n, one in enumerate(batch) if n not in bad]
    worker.write(good)
    assert_each_once(dataset, good)


def test_tables_that_are_missing_or_behind_hold_the_sink_back(
    workers: Callable[..., Worker], bigquery: BigQuery
) -> None:
    dataset = new_address(bigquery)
    client = dataset.rest_client()
    with pytest.raises(SinkUnavailable, match="bigquery apply"):
        workers(dataset).take_over()
    apply_tables(dataset)
    client.query_and_wait(f"ALTER TABLE {dataset.dataset_id}.matches DROP COLUMN threshold_set")
    with pytest.raises(SinkUnavailable, match="lacks threshold_set"):
        workers(dataset).take_over()


def test_workers_that_come_and_go_write_each_event_once(workers: Callable[..., Worker], dataset: Address) -> None:
    batch = matches(400)
    first, second = workers().take_over(), workers()
    for start in range(0, 400, 40):
        part = batch[max(0, start - 10) : start + 40]
        moved = TopicPartition("matches", start // 40 % 2)
        first.write(part[:20])
        first.give_up([moved])
        second.take_over([moved])
        second.write([one for one in part if one.partition == moved])
        second.give_up([moved])
        first.take_over([moved])
        first.write(part)
    assert_each_once(dataset, batch)


def test_a_worker_whose_partitions_come_back_goes_on_at_once(workers: Callable[..., Worker], dataset: Address) -> None:
    worker, batch = workers().take_over(), matches(20)
    worker.sink.write(batch[:10])
    worker.give_up(PARTITIONS)
    workers().take_over()
    worker.take_over().sink.write(batch)
    assert_each_once(dataset, batch)


def test_rows_refused_by_the_server_are_named_and_the_others_written(
    workers: Callable[..., Worker], bigquery: BigQuery
) -> None:
    dataset = new_address(bigquery)
    client = dataset.rest_client()
    apply_tables(dataset)
    table = client.get_table(f"{dataset.dataset_id}.matches")
    client.delete_table(table)
    schema = [SchemaField("camera_id", "INT64") if one.name == "camera_id" else one for one in table.schema]
    client.create_table(BigQueryTable(table.reference, schema=schema))
    batch = matches(1200, camera_id="7")
    bad = dataclasses.replace(batch[700], event=match(camera_id="not a number"))
    batch[700] = bad
    worker = workers(dataset).take_over()
    with pytest.raises(RejectedRow, match="BigQuery") as caught:
        worker.sink.write(batch)
    assert caught.value.deliveries == [bad]
    good = [one for one in batch if one is not bad]
    worker.sink.write(good)
    assert_each_once(dataset, good)


def test_a_partition_that_moves_while_the_server_is_frozen_gets_each_event_once(
    workers: Callable[..., Worker], dataset: Address, bigquery: BigQuery
) -> None:
    predecessor, successor = workers(timeout_s=3).take_over(), workers(timeout_s=3)
    batch = matches(2_000)
    predecessor.write(batch[:10])
    bigquery.freeze()
    try:
        for worker in (predecessor, predecessor):
            with pytest.raises(SinkUnavailable):
                worker.sink.write(batch)
        with pytest.raises(SinkUnavailable):
            successor.take_over()
    finally:
        bigquery.thaw()
    successor.owned = PARTITIONS
    successor.write(batch)
    assert_each_once(dataset, batch)
