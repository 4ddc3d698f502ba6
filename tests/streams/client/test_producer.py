from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from infra.supervisor import Supervisor
from schemas.clock import utc_now
from schemas.codec import decode
from schemas.ids import new_event_id
from schemas.ingest import Consent, Frame, Mode, Picture, Upload
from streams.client.delivery_report import DeliveryHandle
from streams.client.errors import BackPressure, DeliveryFailed
from streams.client.producer import Producer
from streams.kafka import topic_admin
from streams.kafka.connection import KafkaUnavailable, admin_client
from streams.kafka.log_reader import read_topic
from streams.kafka.partition_counts import partition_counts
from streams.kafka.topics import PartitionsDiffer, Topic, TopicMissing
from streams.settings import Settings

JPEG = b"\xff\xd8\xff a picture"


def wait_until(condition: Callable[[], object], timeout_s: float = 20.0) -> None:
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def frames(settings: Settings) -> list[Frame]:
    return [decode(message.value, Frame) for message in read_topic(settings, Topic.FRAMES)]


def uploads(settings: Settings) -> list[Upload]:
    return [decode(message.value, Upload) for message in read_topic(settings, Topic.UPLOADS)]


def test_a_frame_arrives_as_it_was_given(ready: Settings) -> None:
    before = utc_now()
    with Producer(ready) as producer:
        sent = producer.frame("änna", JPEG, camera_id="door", mode=Mode.VERIFY, subject_id="otto")
        delivered = sent.result(10)
    (message,) = read_topic(ready, Topic.FRAMES)
    assert (message.source.topic, message.source.partition, message.offset) == (
        delivered.topic,
        delivered.partition,
        delivered.offset,
    )
    assert message.key == "änna".encode()
    frame = decode(message.value, Frame)
    assert before <= frame.captured_at <= utc_now()
    assert frame == Frame(sent.event_id, "änna", "door", 0, frame.captured_at, Picture(data=JPEG), Mode.VERIFY, "otto")


def test_an_upload_arrives_as_it_was_given(ready: Settings, tmp_path: Path) -> None:
    photo = tmp_path / "anna.jpg"
    photo.write_bytes(JPEG)
    consent = Consent("door", utc_now(), training=True)
    with Producer(ready) as producer:
        producer.enrol("anna", JPEG, consent="door")
        producer.enrol("anna", photo, subject_id="otto", consent=consent)
        producer.enrol("anna", "gs://photos/anna.jpg", consent=consent, sha256="AB" * 32)
    first, second, third = uploads(ready)
    assert (first.subject_id, first.picture.data, first.consent.purpose) == ("anna", JPEG, "door")
    assert first.picture.sha256 == second.picture.sha256 is not None
    assert (second.subject_id, second.picture.data, second.consent) == ("otto", JPEG, consent)
    assert third.picture == Picture(uri="gs://photos/anna.jpg", sha256="ab" * 32)


def test_frames_are_counted_by_camera(ready: Settings) -> None:
    with Producer(ready) as producer:
        for camera in ("a", "b", "a"):
            producer.frame("anna", JPEG, camera_id=camera)
        producer.frame("anna", JPEG, camera_id="a", sequence=77)
    assert [(frame.camera_id, frame.sequence) for frame in frames(ready)] == [("a", 0), ("b", 0), ("a", 1), ("a", 77)]


def test_an_event_of_ones_own(ready: Settings) -> None:
    event = Frame(new_event_id().upper(), "anna", "door", 1, utc_now(), Picture(uri="s3://frames/1.jpg"))
    with Producer(ready) as producer:
        sent = producer.send(event)
    assert sent.event_id == event.event_id.lower()
    assert [frame.event_id for frame in frames(ready)] == [sent.event_id]


def test_order_within_a_user_from_many_threads(ready: Settings) -> None:
    def play(user: str) -> None:
        for _ in range(100):
            producer.frame(user, JPEG, camera_id="door")

    with Producer(ready) as producer:
        threads = [threading.Thread(target=play, args=(f"user-{number}",)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    order = defaultdict(list)
    for frame in frames(ready):
        order[frame.user_id].append(frame.sequence)
    assert order == {f"user-{number}": list(range(100)) for number in range(8)}


def test_a_frame_does_not_overtake_the_upload_of_its_user(ready: Settings) -> None:
    with Producer(ready, linger_ms=300) as producer:
        upload = producer.enrol("anna", JPEG, consent="door")
        other = producer.frame("otto", JPEG, camera_id="door")
        assert not upload.done, "a frame of another user waited"
        frame = producer.frame("anna", JPEG, camera_id="door")
        assert upload.done
        with pytest.raises(BackPressure, match="overtake"):
            producer.enrol("anna", JPEG, consent="door")
            producer.frame("anna", JPEG, camera_id="door", timeout_s=0)
    (stored, _) = read_topic(ready, Topic.UPLOADS)
    stamps = {decode(one.value, Frame).event_id: one.timestamp_ms for one in read_topic(ready, Topic.FRAMES)}
    assert stamps.keys() == {frame.event_id, other.event_id}
    assert stored.timestamp_ms <= stamps[frame.event_id]


def test_an_upload_does_not_overtake_the_frame_of_its_user(ready: Settings) -> None:
    with Producer(ready, linger_ms=300) as producer:
        frame = producer.frame("anna", JPEG, camera_id="door")
        other = producer.enrol("otto", JPEG, consent="door")
        assert not frame.done, "an upload of another user waited"
        upload = producer.enrol("anna", JPEG, consent="door")
        assert frame.done
        with pytest.raises(BackPressure, match="overtake"):
            producer.frame("anna", JPEG, camera_id="door")
            producer.enrol("anna", JPEG, consent="door", timeout_s=0)
        assert producer.under_way >= 1
    assert producer.under_way == 0
    stamps = {decode(one.value, Upload).event_id: one.timestamp_ms for one in read_topic(ready, Topic.UPLOADS)}
    stored, *_ = read_topic(ready, Topic.FRAMES)
    assert stamps.keys() == {upload.event_id, other.event_id}
    assert stored.timestamp_ms < stamps[upload.event_id]


def test_back_pressure_by_count(ready: Settings) -> None:
    with Producer(ready, queue_messages=5, linger_ms=300) as producer:
        with pytest.raises(BackPressure, match="5 events are under way"):
            for _ in range(20):
                producer.frame("anna", JPEG, camera_id="door", timeout_s=0)
        accepted = producer.under_way
        for _ in range(20):
            producer.frame("anna", JPEG, camera_id="door")
    assert accepted == 5
    assert len(frames(ready)) == accepted + 20


def test_back_pressure_by_bytes(ready: Settings) -> None:
    small = ready.model_copy(update={"max_message_bytes": 20_000, "max_picture_bytes": 10_000})
    with Producer(small, queue_bytes=1, linger_ms=300) as producer:
        with pytest.raises(BackPressure):
            for _ in range(20):
                producer.frame("anna", JPEG * 700, camera_id="door", timeout_s=0)
        began = producer.under_way
        for _ in range(10):
            producer.frame("anna", JPEG * 700, camera_id="door")
    assert 1 <= began <= 4
    assert len(frames(small)) == began + 10


def test_delivery_reports_by_callback(ready: Settings) -> None:
    reported: list[DeliveryHandle] = []
    with Producer(ready, on_delivery=reported.append) as producer:
        sent = [producer.frame("anna", JPEG, camera_id="door") for _ in range(10)]
        producer.flush()
        assert {one.event_id for one in reported} == {one.event_id for one in sent}
        assert all(one.done for one in reported)
        assert producer.under_way == 0


def test_a_callback_may_send(ready: Settings) -> None:
    with Producer(ready) as producer:
        again: list[DeliveryHandle] = []
        first = producer.enrol("anna", JPEG, consent="door")
        first.add_done_callback(lambda _: again.append(producer.frame("anna", JPEG, camera_id="door")))
        first.result(10)
    assert [frame.event_id for frame in frames(ready)] == [again[0].event_id]


def test_topics_must_exist(empty: Settings) -> None:
    with Producer(empty) as producer:
        with pytest.raises(TopicMissing, match="facestream topics create"):
            producer.frame("anna", JPEG, camera_id="door")
        topic_admin.create(admin_client(empty), empty)
        producer.frame("anna", JPEG, camera_id="door").result(10)


def test_topics_must_be_partitioned_alike(empty: Settings, admin: AdminClient) -> None:
    new = [NewTopic(Topic.UPLOADS.named(empty), 2, 1), NewTopic(Topic.FRAMES.named(empty), 3, 1)]
    for future in admin.create_topics(new, operation_timeout=10).values():
        future.result(10)
    wait_until(lambda: len(partition_counts(admin, empty)) == 2)
    with Producer(empty) as producer, pytest.raises(PartitionsDiffer):
        producer.frame("anna", JPEG, camera_id="door")


def test_no_broker_is_told_within_seconds() -> None:
    began = time.monotonic()
    with (
        pytest.raises(KafkaUnavailable, match=r"127\.0\.0\.1:1.*facestream up"),
        Producer(Settings(kafka="127.0.0.1:1")) as producer,
    ):
        producer.frame("anna", JPEG, camera_id="door")
    assert time.monotonic() - began < 60


def test_a_broker_that_dies(own_kafka: tuple[Supervisor, Settings]) -> None:
    supervisor, settings = own_kafka
    event_id = new_event_id()
    with pytest.raises(DeliveryFailed) as raised, Producer(settings, delivery_timeout_s=2) as producer:
        producer.frame("anna", JPEG, camera_id="door").result(10)
        supervisor.kill("kafka")
        asked = producer.frame("anna", JPEG, camera_id="door", event_id=event_id)
        with pytest.raises(DeliveryFailed, match=event_id):
            asked.result(20)
        producer.flush()  # the caller knows already
        silent = producer.frame("anna", JPEG, camera_id="door")
    assert raised.value.event_ids == [silent.event_id]

    with pytest.raises(ZeroDivisionError) as body, Producer(settings, delivery_timeout_s=2) as producer:
        producer._topics_checked = True  # as if it had sent before
        producer.frame("anna", JPEG, camera_id="door")
        _ = 1 / 0
    assert "1 event was not delivered" in body.value.__notes__[0]

    supervisor.restart("kafka")
    with Producer(settings) as producer:
        producer.frame("anna", JPEG, camera_id="door", event_id=event_id).result(20)
    assert [frame.event_id for frame in frames(settings)][-1] == event_id


def test_nothing_is_lost_or_doubled_while_a_broker_restarts(own_kafka: tuple[Supervisor, Settings]) -> None:
    supervisor, settings = own_kafka
    with Producer(settings) as producer:
        producer.frame("anna", JPEG, camera_id="door").result(10)
        supervisor.kill("kafka")
        restart = threading.Thread(target=supervisor.restart, args=("kafka",))
        restart.start()
        while restart.is_alive():
            producer.frame("anna", JPEG, camera_id="door")
            time.sleep(0.002)
        restart.join()
        last = producer.frame("anna", JPEG, camera_id="door")
        last.result(60)
    sequences = [frame.sequence for frame in frames(settings)]
    assert sequences == list(range(len(sequences)))
    assert frames(settings)[-1].event_id == last.event_id


def test_closed_is_closed(ready: Settings) -> None:
    producer = Producer(ready)
    producer.close()
    producer.close()
    with pytest.raises(RuntimeError, match="closed"):
        producer.frame("anna", JPEG, camera_id="door")


def test_close_gives_up_after_its_time(own_kafka: tuple[Supervisor, Settings]) -> None:
    supervisor, settings = own_kafka
    producer = Producer(settings)
    producer.frame("anna", JPEG, camera_id="door").result(10)
    supervisor.kill("kafka")
    sent = producer.frame("anna", JPEG, camera_id="door")
    with pytest.raises(DeliveryFailed, match="has not been delivered"):
        producer.close(timeout_s=0.5)
    with pytest.raises(DeliveryFailed):
        sent.result(5)


def test_a_dropped_client_still_delivers(ready: Settings) -> None:
    producer = Producer(ready, linger_ms=300)
    sent = producer.frame("anna", JPEG, camera_id="door")
    del producer
    gc.collect()
    assert sent.result(10)


def test_a_process_that_ends_without_close_still_delivers(ready: Settings) -> None:
    script = (
        "from streams.client.producer import Producer; p = Producer(linger_ms=500); "
        "p.frame('anna', b'GIF89a', camera_id='c')"
    )
    environment = {"FACESTREAM_KAFKA": ready.kafka, "FACESTREAM_TOPIC_PREFIX": ready.topic_prefix}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment, timeout=60)
    assert len(frames(ready)) == 1


def test_reading_a_topic_gives_each_message_once_in_order(ready: Settings) -> None:
    with Producer(ready) as producer:
        for number in range(300):
            producer.frame(f"user-{number % 7}", JPEG, camera_id="door")
    seen: dict[int, list[int]] = defaultdict(list)
    for message in read_topic(ready, Topic.FRAMES):
        seen[message.source.partition].append(message.offset)
    assert sum(map(len, seen.values())) == 300
    assert all(offsets == list(range(len(offsets))) for offsets in seen.values())
    assert list(read_topic(ready, Topic.MATCHES)) == []
