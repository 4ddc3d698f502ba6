"""The same event twice: one result, one row, one live entry."""

from __future__ import annotations

import time
from collections import Counter
from datetime import timedelta

import pytest

from schemas.clock import utc_now
from schemas.ids import new_event_id
from schemas.ingest import Consent
from tests.integration.clients import Clients, named
from tests.integration.conftest import Portraits


@pytest.mark.parametrize("answered_between", [False, True], ids=["at once", "after the answer"])
def test_the_same_event_twice(answered_between: bool, clients: Clients, user: str, portraits: Portraits) -> None:
    upload, frame = new_event_id(), new_event_id()
    for minutes in range(2):
        # Whoever sends an event again may set its time anew.
        at = utc_now() - timedelta(minutes=minutes)
        clients.producer.enrol(user, portraits.obama, consent="tests", subject_id="obama", event_id=upload)
        clients.producer.frame(user, portraits.obama2, camera_id="door", event_id=frame, sequence=7, captured_at=at)
        if answered_between:
            clients.answers([upload, frame])
            clients.row("matches", frame)
    # What comes later on the same partition is seen later: then all that there will be is there.
    last = clients.producer.frame(user, portraits.biden, camera_id="door", sequence=8)
    answers = clients.answers([upload, frame, last.event_id])
    assert clients.row("matches", last.event_id)
    assert answers[upload]["templates"] == 1
    assert named(answers[frame]) == ["obama"]
    clients.await_subjects(user, {"obama": 1})
    clients.row("matches", frame)
    clients.row("enrolments", upload)
    assert Counter(entry["event_id"] for entry in clients.live(user, until=last.event_id)) == {
        upload: 1,
        frame: 1,
        last.event_id: 1,
    }


def test_another_picture_with_the_same_id(clients: Clients, user: str, portraits: Portraits) -> None:
    """The first one counts: an id is the event's for ever."""
    clients.producer.enrol(user, portraits.obama, consent="tests", subject_id="obama")
    frame = new_event_id()
    for picture in (portraits.obama2, portraits.biden):
        clients.producer.frame(user, picture, camera_id="door", event_id=frame)
    last = clients.producer.frame(user, portraits.biden, camera_id="door")
    assert named(clients.answer(last.event_id)) == [None]
    assert clients.row("matches", last.event_id)
    assert named(clients.answer(frame)) == ["obama"]
    assert clients.row("matches", frame)["faces"][0]["subject_id"] == "obama"


def test_another_photo_with_the_same_id(clients: Clients, user: str, portraits: Portraits) -> None:
    """The gallery says what the answer said: the first one counts there too."""
    upload = new_event_id()
    clients.producer.enrol(user, portraits.obama, consent="tests", subject_id="obama", event_id=upload)
    clients.producer.enrol(user, portraits.biden, consent="tests", subject_id="biden", event_id=upload)
    frames = [clients.producer.frame(user, photo, camera_id="door") for photo in (portraits.obama2, portraits.biden)]
    answers = clients.answers([frame.event_id for frame in frames])
    assert [named(answers[frame.event_id]) for frame in frames] == [["obama"], [None]]
    assert clients.answer(upload)["subject_id"] == "obama"


def test_the_same_photo_twice_whose_consent_ends(clients: Clients, user: str, portraits: Portraits) -> None:
    upload, until = new_event_id(), utc_now() + timedelta(seconds=4)
    agreed = Consent("tests", utc_now(), expires_at=until)
    for photo in (portraits.obama, portraits.obama3):
        clients.producer.enrol(user, photo, consent=agreed, subject_id="obama", event_id=upload)
    frame = clients.producer.frame(user, portraits.obama2, camera_id="door")
    assert named(clients.answer(frame.event_id)) == ["obama"]
    while utc_now() < until:
        time.sleep(0.1)
    later = clients.producer.frame(user, portraits.obama2, camera_id="door")
    assert named(clients.answer(later.event_id)) == [None]
