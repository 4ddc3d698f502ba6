"""Faces to learn from: only of those who agreed to it, and only as long as they do."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import cv2
import numpy as np

from schemas import codec
from schemas.clock import utc_now
from schemas.ingest import Consent
from schemas.learning import Chip
from streams.kafka.log_reader import read_topic
from streams.kafka.topics import Topic
from tests.integration.clients import Clients, eventually
from tests.integration.conftest import Portraits
from tests.integration.pictures import collage, head


def chips(clients: Clients, event_id: str) -> list[tuple[int | None, bytes | None]]:
    """Partition and value of every chip, or tombstone, of an event."""
    found = read_topic(clients.settings, Topic.CHIPS)
    return [(one.source.partition, one.value) for one in found if one.key == event_id.encode()]


def agreed(**changes: object) -> Consent:
    return Consent("tests", utc_now(), training=True, **changes)  # type: ignore[arg-type]


def test_a_face_is_kept_for_training_if_its_person_agreed(clients: Clients, user: str, portraits: Portraits) -> None:
    yes = clients.producer.enrol(user, portraits.obama, subject_id="obama", consent=agreed())
    no = clients.producer.enrol(user, portraits.obama2, subject_id="obama", consent="tests")
    answers = clients.answers([yes.event_id, no.event_id])
    assert [answers[sent.event_id]["outcome"] for sent in (yes, no)] == ["enrolled"] * 2
    assert chips(clients, no.event_id) == []
    ((partition, value),) = chips(clients, yes.event_id)
    assert partition == answers[yes.event_id]["source"]["partition"], "an erasure looks in the user's partition"
    chip = codec.decode(value, Chip)
    assert (chip.event_id, chip.user_id, chip.subject_id) == (yes.event_id, user, "obama")
    face = cv2.imdecode(np.frombuffer(chip.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert face is not None
    assert face.shape == (112, 112, 3), "the aligned face, never the picture"


def test_no_face_of_a_refused_photo_is_kept(clients: Clients, user: str, portraits: Portraits, photos: Path) -> None:
    both = collage([head(photos / name, 240) for name in ("obama.jpg", "biden.jpg")], 2)
    late = utc_now() - timedelta(days=1)
    sent = [
        clients.producer.enrol(user, both, consent=agreed()),
        clients.producer.enrol(user, portraits.obama, consent=agreed(expires_at=late)),
    ]
    answers = clients.answers([one.event_id for one in sent])
    assert {answer["outcome"] for answer in answers.values()} == {"refused"}
    assert [chips(clients, one.event_id) for one in sent] == [[], []]


def test_a_face_is_withdrawn_when_the_consent_ends(clients: Clients, user: str, portraits: Portraits) -> None:
    sent = clients.producer.enrol(user, portraits.obama, consent=agreed(expires_at=utc_now() + timedelta(seconds=3)))
    assert clients.answer(sent.event_id)["outcome"] == "enrolled"
    assert len(chips(clients, sent.event_id)) == 1

    def withdrawn() -> bool:
        clients.answer(clients.producer.frame(user, portraits.obama2, camera_id="door").event_id)
        return chips(clients, sent.event_id)[-1][1] is None

    eventually(withdrawn, "there is a tombstone")
    assert {partition for partition, _ in chips(clients, sent.event_id)} == {chips(clients, sent.event_id)[0][0]}
