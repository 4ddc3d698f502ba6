"""What a producer takes back has no effect, from the upload to BigQuery."""

from __future__ import annotations

import uuid

import confluent_kafka

from schemas import codec
from schemas.clock import utc_now
from schemas.ids import new_event_id
from schemas.ingest import Consent, Frame, Picture, Upload
from streams.kafka.connection import client_config
from streams.kafka.topics import Topic
from tests.integration.clients import Clients, named
from tests.integration.conftest import Portraits


def test_an_aborted_upload_enrols_nobody_and_a_committed_one_does(
    clients: Clients, portraits: Portraits, user: str
) -> None:
    """The frames of both transactions show the same person; another producer's, without one, lie among them."""
    settings = clients.settings
    producer = confluent_kafka.Producer(
        client_config(settings) | {"transactional.id": uuid.uuid4().hex, "partitioner": "murmur2_random"}
    )
    producer.init_transactions(60)

    def send(subject: str) -> tuple[str, str]:
        now = utc_now()
        upload = Upload(new_event_id(), user, subject, now, Picture(portraits.obama), Consent("tests", now))
        frame = Frame(new_event_id(), user, "door", 0, now, Picture(portraits.obama2))
        producer.begin_transaction()
        producer.produce(Topic.UPLOADS.named(settings), codec.encode(upload), user.encode())
        producer.produce(Topic.FRAMES.named(settings), codec.encode(frame), user.encode())
        assert producer.flush(60) == 0
        return upload.event_id, frame.event_id

    taken_back = send("never")
    among = clients.producer.frame(user, portraits.obama3, camera_id="door").event_id
    producer.abort_transaction(60)
    assert named(clients.answer(among)) == [None]
    upload, frame = send("obama")
    producer.commit_transaction(60)
    assert clients.answer(upload)["outcome"] == "enrolled"
    # Each partition learns of the commit by itself, the frames' perhaps before the uploads'.
    assert named(clients.answer(frame)) in (["obama"], [None])
    last = clients.producer.frame(user, portraits.obama3, camera_id="door").event_id
    assert named(clients.answer(last)) == ["obama"]
    clients.await_subjects(user, {"obama": 1})
    clients.rows("matches", [among, frame, last])
    assert clients.results.wait_for(taken_back, 0.1) == {}
    ids = ",".join(taken_back)
    for table in ("matches", "enrolments"):
        assert clients.query(f"SELECT event_id FROM {table} WHERE event_id IN UNNEST(SPLIT(@ids))", ids=ids) == []
