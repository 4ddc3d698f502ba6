import threading

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from streams.kafka import topic_admin
from streams.kafka.connection import KafkaUnavailable, admin_client
from streams.kafka.partition_counts import check_copartitioned, partition_counts
from streams.kafka.topic_admin import TopicDescription
from streams.kafka.topic_specs import topic_specs
from streams.kafka.topics import PartitionsDiffer, Topic, TopicMissing, TopicsError
from streams.settings import Settings


def found(admin: AdminClient, settings: Settings, topic: Topic) -> TopicDescription:
    return next(one for one in topic_admin.describe(admin, settings) if one.topic is topic)


def test_creates_what_is_missing_once(empty: Settings, admin: AdminClient) -> None:
    assert not any(one.exists for one in topic_admin.describe(admin, empty))
    assert {change.did for change in topic_admin.create(admin, empty)} == {"created"}
    assert {change.did for change in topic_admin.create(admin, empty)} == {"unchanged"}
    states = topic_admin.describe(admin, empty)
    assert {one.name for one in states} == {f"{empty.topic_prefix}{topic}" for topic in Topic}
    assert {one.partitions for one in states} == {4}
    assert not any(one.differs for one in states)
    assert set(topic_admin.messages(admin, states).values()) == {0}


def test_creates_only_the_one_that_is_missing(ready: Settings, admin: AdminClient) -> None:
    name = Topic.FRAMES.named(ready)
    admin.delete_topics([name])[name].result(10)
    deadline = threading.Event()
    while Topic.FRAMES in partition_counts(admin, ready):
        deadline.wait(0.05)
    assert {change.name for change in topic_admin.create(admin, ready) if change.did == "created"} == {name}


def test_side_by_side(empty: Settings) -> None:
    errors: list[Exception] = []

    def create() -> None:
        try:
            topic_admin.create(admin_client(empty), empty)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=create) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_retention_is_brought_up_to_date(ready: Settings, admin: AdminClient) -> None:
    shorter = ready.model_copy(update={"retention_hours": 2})
    assert "retention.ms" in found(admin, shorter, Topic.FRAMES).differs
    changes = {change.name: change.did for change in topic_admin.create(admin, shorter)}
    assert changes[Topic.FRAMES.named(ready)] == "updated"
    assert changes[Topic.DEAD_LETTERS.named(ready)] == "unchanged"
    assert found(admin, shorter, Topic.FRAMES).config["retention.ms"] == "7200000"


def test_another_number_of_partitions_is_refused_and_nothing_changed(ready: Settings, admin: AdminClient) -> None:
    other = ready.model_copy(update={"partitions": 3, "retention_hours": 2})
    with pytest.raises(PartitionsDiffer, match="FACESTREAM_PARTITIONS=4"):
        topic_admin.create(admin, other)
    assert not found(admin, ready, Topic.FRAMES).differs


def test_copartitioned(ready: Settings, admin: AdminClient) -> None:
    counts = partition_counts(admin, ready)
    assert check_copartitioned(counts, ready) == 4
    with pytest.raises(PartitionsDiffer, match=r"matches: 5"):
        check_copartitioned(counts | {Topic.MATCHES: 5}, ready)
    del counts[Topic.FRAMES]
    with pytest.raises(TopicMissing, match="facestream topics create"):
        check_copartitioned(counts, ready)


def test_partitions_that_others_have_added_are_found(empty: Settings, admin: AdminClient) -> None:
    name = Topic.UPLOADS.named(empty)
    admin.create_topics([NewTopic(name, 7, 1)])[name].result(10)
    with pytest.raises(PartitionsDiffer, match="has 7 partitions"):
        topic_admin.create(admin, empty)


def test_the_largest_picture_wrapped_in_a_dead_letter_fits(empty: Settings) -> None:
    sizes = {one.topic: int(one.config["max.message.bytes"]) for one in topic_specs(empty)}
    assert sizes[Topic.DEAD_LETTERS] > sizes[Topic.FRAMES] == empty.max_message_bytes


def test_a_name_that_kafka_does_not_allow() -> None:
    with pytest.raises(TopicsError, match="FACESTREAM_TOPIC_PREFIX"):
        Topic.UPLOADS.named(Settings(topic_prefix="a/b"))


def test_no_broker() -> None:
    nowhere = Settings(kafka="127.0.0.1:1")
    with pytest.raises(KafkaUnavailable, match=r"127\.0\.0\.1:1.*facestream up"):
        topic_admin.describe(admin_client(nowhere), nowhere)
