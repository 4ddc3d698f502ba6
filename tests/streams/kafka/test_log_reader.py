"""A small question reads little of a long topic: records are counted, not seconds."""

from __future__ import annotations

import dataclasses
import uuid
from datetime import timedelta
from typing import Any

import confluent_kafka
import pytest
from aiokafka.errors import KafkaConnectionError
from confluent_kafka.admin import NewTopic
from hypothesis import given
from hypothesis import strategies as st

from infra.services import LocalServices
from schemas import codec
from schemas.clock import utc_now
from schemas.drift import Drift
from schemas.erasure import Erasure
from schemas.ids import new_event_id
from schemas.learning import Statement
from schemas.replays import OffsetRange
from streams.devtools.benchmarks import long_logs, questions
from streams.drift.alarms import CameraAlarms, last_reports
from streams.feedback import lookup
from streams.feedback.errors import FeedbackRefused
from streams.feedback.submit import submit
from streams.kafka import async_connection
from streams.kafka.connection import KafkaUnavailable, admin_client, client_config
from streams.kafka.consumer_groups import OffsetsClient, committed_offsets
from streams.kafka.log_reader import LogReader, newest_first, read_topic
from streams.kafka.log_tail import LogTail
from streams.kafka.messages import TopicPartition, to_confluent
from streams.kafka.topic_admin import create
from streams.kafka.topics import Topic
from streams.kafka.writer import RecordWriter
from streams.settings import Settings
from tests.sinks.examples import face, match, timings

RECORDS = 3_000


@pytest.fixture
def settings(services: LocalServices) -> Settings:
    name = f"questions-{uuid.uuid4().hex[:8]}"
    return Settings(**services.addresses.settings(), topic_prefix=f"{name}.", redis_prefix=f"{name}:", partitions=2)


def read(topic: Topic, settings: Settings) -> int:
    """What this process has read of a topic until now."""
    return questions._records_read([topic.named(settings)])


def test_what_is_read_for_each_question(settings: Settings) -> None:
    rows = {row["question"]: row for row in questions.ask(settings, RECORDS, print)}
    now = {name: row["now"]["records"] for name, row in rows.items()}
    assert now.pop("feedback on a new frame") < 20
    assert now.pop("feedback on who was erased") < 20
    assert now.pop("drift: doctor") == RECORDS, "as long as there are no more than a look may read"
    assert RECORDS / long_logs.DAYS <= now.pop("drift: the first tick of retrain") < 1.1 * RECORDS / long_logs.DAYS
    assert now.pop("dead letters: doctor") == rows["dead letters: doctor"]["whole"]["records"] == 2 * RECORDS
    assert now.pop("replays: the last record of one") <= 2 * 500
    assert now.pop("commits of a group, ten times") == 0
    assert now == {
        "drift: the next tick": 10,
        "chips: the next tick of retrain": 10,
        "backfill: the next look": 10,
        "erasures: the next rebalance": 10,
    }
    assert rows["feedback on a new frame"]["whole"]["records"] == 2 * RECORDS


def test_what_the_brokers_remove_while_a_topic_is_read_is_not_asked_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = admin_client(settings)
    create(admin, settings)
    writer = RecordWriter(settings, Topic.FEEDBACK)
    for number in range(3):
        writer.write("ursula", b"%d" % number)
    first = next(read_topic(settings, Topic.FEEDBACK))
    look, looks = LogReader.since, []

    def look_before_removal(reader: LogReader, positions: dict[int, int]) -> list[OffsetRange]:
        found = look(reader, positions)
        looks.append(found)
        if len(looks) == 1:
            for removed in admin.delete_records([to_confluent(first.source, 2)]).values():
                removed.result(30)
        return found

    monkeypatch.setattr(LogReader, "since", look_before_removal)
    assert [message.value for message in read_topic(settings, Topic.FEEDBACK)] == [b"2"]
    assert len(looks) == 2


def test_a_look_at_the_cameras_reads_the_newest_reports(settings: Settings) -> None:
    long_logs.create_topics(settings)
    long_logs.fill(settings, Topic.DRIFT, RECORDS)
    before = read(Topic.DRIFT, settings)
    last = last_reports(settings, 200)
    assert read(Topic.DRIFT, settings) - before == 200
    assert 100 < len(last.reports) <= 200
    assert last.since is not None and utc_now() - timedelta(days=2) < last.since
    assert last_reports(settings).since is None


def test_an_alarm_is_told_until_the_camera_is_as_it_was(settings: Settings) -> None:
    create(admin_client(settings), settings)
    writer, alarms, now = RecordWriter(settings, Topic.DRIFT), CameraAlarms(settings), utc_now()
    alarm = Drift(new_event_id(), "anna", "door", "some", 500, 1_000, True, [], now, now)
    assert alarms() is None
    writer.write("anna", codec.encode(alarm))
    writer.write("otto", codec.encode(dataclasses.replace(alarm, user_id="otto", reported_at=now - timedelta(days=2))))
    assert (alarms() or "").startswith("drift of anna/door: ")
    assert (alarms() or "").startswith("drift of anna/door: "), "it is known without being read again"
    writer.write("anna", codec.encode(dataclasses.replace(alarm, alarm=False)))
    assert alarms() is None
    assert read(Topic.DRIFT, settings) == 3
    alarms.close()


def on_the_topic(settings: Settings, *matches: Any) -> None:
    for one in matches:
        RecordWriter(settings, Topic.MATCHES).write(one.user_id, codec.encode(one))


def test_an_answer_is_looked_for_from_the_end_of_the_topic(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    create(admin_client(settings), settings)
    monkeypatch.setattr(lookup, "_STEP", 10)
    old, twice, again = (match(timings=timings(utc_now())) for _ in range(3))
    long_ago = match(timings=timings(utc_now() + timedelta(hours=3)))
    on_the_topic(settings, old, twice, dataclasses.replace(twice, faces=[face(subject_id="second")]))
    corrected = dataclasses.replace(again, replay_id="r1", corrects=True, faces=[face(subject_id="right")])
    beside = dataclasses.replace(again, replay_id="r2", faces=[face(subject_id="beside")])
    on_the_topic(settings, again, corrected, beside, *(match() for _ in range(40)), long_ago)
    before = read(Topic.MATCHES, settings)
    found = {one.event_id: lookup.find(settings, one.event_id) for one in (old, twice, again)}
    assert [found[one.event_id].faces[0].subject_id for one in (old, twice, again)] == ["anna", "anna", "right"]
    before = read(Topic.MATCHES, settings)
    assert lookup.find(settings, long_ago.event_id).event_id == long_ago.event_id
    assert read(Topic.MATCHES, settings) - before <= 2 * 10, "all before came hours before the frame"
    with pytest.raises(FeedbackRefused, match="there is no match"):
        lookup.find(settings, new_event_id())


@pytest.mark.parametrize("subject_id", [None, "anna"])
def test_nothing_is_said_of_who_was_erased(settings: Settings, subject_id: str | None) -> None:
    create(admin_client(settings), settings)
    shown = match(timings=timings(utc_now()))
    on_the_topic(settings, shown)
    assert submit(settings, shown.event_id, Statement.IS, "anna").is_new
    erasure = Erasure(new_event_id(), "ursula", utc_now(), subject_id)
    RecordWriter(settings, Topic.ERASURES).write("ursula", codec.encode(erasure))
    for statement in Statement:
        with pytest.raises(FeedbackRefused, match="has been erased since"):
            submit(settings, shown.event_id, statement, "anna")
    came_back = match(timings=timings(utc_now() + timedelta(seconds=1)))
    on_the_topic(settings, came_back)
    assert submit(settings, came_back.event_id, Statement.IS, "anna").is_new


def test_a_topic_that_is_made_anew_comes_anew(settings: Settings) -> None:
    name, admin, known = f"{settings.topic_prefix}tail", admin_client(settings), list[bytes]()
    producer = confluent_kafka.Producer(client_config(settings))

    def make(*values: bytes) -> None:
        admin.create_topics([NewTopic(name, 1, 1)], operation_timeout=20)[name].result(20)
        for value in values:
            producer.produce(name, value, partition=0)
        assert producer.flush(20) == 0

    with LogTail(settings, name, known.clear) as tail:

        def look() -> list[bytes]:
            known.extend(message.value or b"" for message in tail.more())
            return known

        make(b"1", b"2", b"3")
        assert look() == look() == [b"1", b"2", b"3"]
        producer.produce(name, b"4", partition=0)
        assert producer.flush(20) == 0
        tail.close()
        assert look() == [b"1", b"2", b"3", b"4"], "what was known is known"
        admin.delete_topics([name], operation_timeout=20)[name].result(20)
        make(b"5")
        tail.close()
        assert look() == [b"5"]


@given(
    st.dictionaries(st.integers(0, 3), st.tuples(st.integers(0, 50), st.integers(0, 300)), max_size=4),
    st.integers(1, 20),
)
def test_pieces_cover_all_of_it_from_the_end(logs: dict[int, tuple[int, int]], step: int) -> None:
    ranges = [OffsetRange(number, first, first, first + length) for number, (first, length) in logs.items()]
    read: dict[int, list[int]] = {number: [] for number in logs}
    for size, piece in enumerate(newest_first(ranges, step)):
        for one in piece:
            offsets = list(range(one.first_offset, one.end_offset))
            assert 0 < len(offsets) <= step * 2**size
            read[one.partition] = offsets + read[one.partition]
    assert read == {number: list(range(first, first + length)) for number, (first, length) in logs.items()}


def test_commits_are_asked_for_with_one_client(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    real = async_connection.AIOKafkaAdminClient

    def counted(**options: Any) -> Any:
        made.append(real(**options))
        return made[-1]

    monkeypatch.setattr(async_connection, "AIOKafkaAdminClient", counted)
    create(admin_client(settings), settings)
    reader = {"group.id": "some-group", "enable.auto.commit": False}
    consumer = confluent_kafka.Consumer(client_config(settings) | reader)
    part = confluent_kafka.TopicPartition(Topic.FRAMES.named(settings), 1, 7)
    consumer.commit(offsets=[part], asynchronous=False)
    consumer.close()
    with OffsetsClient(settings) as commits:
        for _ in range(5):
            found = commits.of("some-group")
            assert {key: one.offset for key, one in found.items()} == {TopicPartition(part.topic, 1): 7}
        assert len(made) == 1

        async def lost(group_id: str) -> None:
            raise KafkaConnectionError(group_id)

        monkeypatch.setattr(made[0], "list_consumer_group_offsets", lost)
        assert commits.of("some-group") == found, "a connection that was lost is made anew"
        assert len(made) == 2
    assert made[0]._closed and made[1]._closed
    assert committed_offsets(settings, "some-group") == {TopicPartition(part.topic, 1): 7}
    assert made[2]._closed
    with (
        pytest.raises(KafkaUnavailable),
        OffsetsClient(settings.model_copy(update={"kafka": "127.0.0.1:1"})) as nowhere,
    ):
        nowhere.of("some-group")
    assert made[3]._closed
