"""What analysts find in BigQuery's views after things have happened."""

from __future__ import annotations

import pytest

from streams.kafka.topics import Topic
from tests.integration import pictures
from tests.integration.clients import Clients, Json, eventually
from tests.integration.conftest import Portraits


@pytest.fixture
def household(clients: Clients, user: str, portraits: Portraits) -> str:
    """A user after a day: two photos taken and one refused, one person seen, a stranger, and an empty garden."""
    letters = _letters(clients)
    uploads = [
        clients.producer.enrol(user, photo, consent="tests", subject_id="obama")
        for photo in (portraits.obama, portraits.obama2, pictures.landscape())
    ]
    frames = [
        clients.producer.frame(user, picture, camera_id=camera)
        for camera, picture, times in (
            ("door", portraits.obama3, 3),
            ("door", portraits.biden, 1),
            ("garden", portraits.biden, 2),
            ("garden", pictures.landscape(), 1),
        )
        for _ in range(times)
    ]
    clients.put(Topic.FRAMES, b"rubbish", user)
    clients.rows("enrolments", [sent.event_id for sent in uploads])
    clients.rows("matches", [sent.event_id for sent in frames])
    eventually(lambda: _letters(clients) > letters, "the dead letter is in BigQuery")
    return user


def _letters(clients: Clients) -> int:
    rows = clients.query(
        "SELECT SUM(letters) AS letters FROM dead_letters_by_reason "
        "WHERE stage = 'embed' AND source_topic = 'frames' AND reason = 'not_an_event' AND day = CURRENT_DATE()"
    )
    return int(rows[0]["letters"] or 0)


def test_views(clients: Clients, household: str) -> None:
    def view(name: str, order: str = "1") -> list[Json]:
        return clients.query(f"SELECT * FROM {name} WHERE user_id = @user ORDER BY {order}", user=household)

    assert len(view("results")) == 7
    assert [row["outcome"] for row in view("enrolment_results", "decided_at")] == ["enrolled", "enrolled", "refused"]

    faces = view("faces", "matched_at")
    assert [(row["camera_id"], row["decision"], row["subject_id"]) for row in faces] == [
        *[("door", "match", "obama")] * 3,
        ("door", "unknown", None),
        *[("garden", "unknown", None)] * 2,
    ]
    assert {row["nearest_subject_id"] for row in faces} == {"obama"}
    assert all(row["nearest_fmr"] < 0.001 for row in faces[:3])
    assert all(row["nearest_fmr"] > 0.01 for row in faces[3:])

    (sighting,) = view("sightings_by_day")
    assert (sighting["subject_id"], sighting["camera_id"], sighting["sightings"]) == ("obama", "door", 3)
    assert sighting["first_seen_at"] < sighting["last_seen_at"]
    assert 0.3 < sighting["mean_similarity"] <= sighting["best_similarity"] < 1

    door, garden = view("unknown_rate_by_camera", "camera_id")
    assert (door["faces"], door["matched"], door["unknown"], door["unknown_rate"]) == (4, 3, 1, 0.25)
    assert (garden["faces"], garden["matched"], garden["unknown"], garden["unknown_rate"]) == (2, 0, 2, 1.0)

    enrolled, refused = view("enrolment_outcomes", "outcome")
    assert (enrolled["outcome"], enrolled["refusal_reason"], enrolled["uploads"]) == ("enrolled", None, 2)
    assert (refused["outcome"], refused["refusal_reason"], refused["uploads"]) == ("refused", "no_face", 1)


def test_latency_by_hour(clients: Clients, household: str) -> None:
    hours = clients.query("SELECT * FROM latency_by_hour ORDER BY hour")
    rows = clients.query("SELECT COUNT(*) AS rows FROM results")[0]["rows"]
    assert sum(hour["frames"] for hour in hours) == rows
    for hour in hours:
        assert 0 < hour["decided_p50_ms"] <= hour["decided_p95_ms"] <= hour["decided_p99_ms"]
        assert hour["decided_p50_ms"] < hour["written_p50_ms"]
