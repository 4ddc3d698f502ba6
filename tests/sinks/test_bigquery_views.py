"""What views and queries give on known rows."""

from __future__ import annotations

import dataclasses
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.dead_letters import ResolutionState
from schemas.ids import new_event_id
from schemas.learning import Statement
from schemas.parts import Decision, Refusal
from schemas.results import Outcome
from schemas.rollout import ComparedFace
from sinks.base import SinkUnavailable
from sinks.bigquery import Address, apply, run_query
from sinks.bigquery.query import QueryFailed
from sinks.bigquery.saved_queries import views
from sinks.bigquery.tables import TABLES
from tests.sinks.conftest import new_address
from tests.sinks.examples import (
    NOW,
    comparison,
    dead_letter,
    delivery,
    enrolment,
    face,
    feedback,
    match,
    resolution,
    timings,
)
from tests.sinks.rows import ask, write
from tests.sinks.servers import BigQuery

DAY = NOW.date()
HOUR = NOW.replace(minute=0, second=0, microsecond=0)


@pytest.fixture(scope="module")
def known(bigquery: BigQuery) -> Address:
    """A dataset with rows whose views can be told by heart."""
    address = new_address(bigquery)
    apply(address.rest_client(), address.dataset_id)
    unknown, refused = face(Decision.UNKNOWN, None), face(Decision.REFUSED, None)
    produced = [NOW.replace(minute=30) - timedelta(milliseconds=latency) for latency in range(1, 101)]
    decided = NOW.replace(minute=30)
    events: list[Any] = [
        *(match(camera_id="slow", faces=[], timings=timings(at), matched_at=decided) for at in produced),
        match(faces=[face(), unknown, refused]),
        match(faces=[face(), face(Decision.NO_MATCH, None)]),
        match(faces=[face()], replay_id="r1"),
        enrolment(),
        enrolment(subject_id="berta"),
        enrolment(outcome=Outcome.REFUSED, refusal=Refusal("no_face", "no face was found"), quality=None),
        enrolment(replay_id="r1"),
        dead_letter(),
        dead_letter(message="the last one", failed_at=NOW + timedelta(seconds=1)),
        comparison(),
        comparison(faces=[both := ComparedFace(Decision.MATCH, Decision.MATCH, "anna", 0.5, "anna", 0.75), both]),
    ]
    write(address, [delivery(event, n) for n, event in enumerate(events)])
    # A second row of an event, as only a defect could make it: the views do not show it.
    for table in ("matches", "enrolments"):
        name = f"{address.dataset_id}.{table}"
        run_query(address.rest_client(), f"INSERT INTO {name} SELECT * FROM {name} WHERE kafka_offset > 99")
    return address


def test_results_hold_each_live_answer_once(known: Address) -> None:
    assert ask(known, "SELECT COUNT(*) AS n FROM matches WHERE kafka_offset > 99") == [{"n": 6}]
    (row,) = ask(known, "SELECT COUNT(*) AS n, COUNT(DISTINCT event_id) AS ids, COUNT(replay_id) AS r FROM results")
    assert row == {"n": 102, "ids": 102, "r": 0}
    (row,) = ask(known, "SELECT COUNT(*) AS n, COUNT(DISTINCT event_id) AS ids FROM enrolment_results")
    assert row == {"n": 3, "ids": 3}


def test_faces_are_one_row_each(known: Address) -> None:
    found = ask(
        known,
        "SELECT face_number, decision, subject_id, nearest_fmr, box.width AS width FROM faces "
        "WHERE event_id IN (SELECT event_id FROM results WHERE ARRAY_LENGTH(faces) = 3) ORDER BY face_number",
    )
    assert [(row["face_number"], row["decision"], row["subject_id"]) for row in found] == [
        (0, "match", "anna"),
        (1, "unknown", None),
        (2, "refused", None),
    ]
    assert {(row["nearest_fmr"], row["width"]) for row in found} == {(1e-5, 100.0)}


def test_sightings_by_day(known: Address) -> None:
    assert ask(known, "SELECT * FROM sightings_by_day") == [
        {
            "day": DAY,
            "user_id": "ursula",
            "subject_id": "anna",
            "camera_id": "door",
            "sightings": 2,
            "first_seen_at": NOW,
            "last_seen_at": NOW,
            "best_similarity": 0.75,
            "mean_similarity": 0.75,
        }
    ]


def test_unknown_rate_by_camera(known: Address) -> None:
    (row,) = ask(known, "SELECT * FROM unknown_rate_by_camera")
    assert (row["day"], row["camera_id"], row["faces"]) == (DAY, "door", 5)
    assert (row["matched"], row["unknown"], row["not_matched"], row["refused"]) == (2, 1, 1, 1)
    assert row["unknown_rate"] == 0.25


def test_model_disagreement(known: Address) -> None:
    (row,) = ask(known, "SELECT * FROM model_disagreement")
    assert (row["day"], row["camera_id"], row["frames"], row["faces"]) == (DAY, "door", 2, 3)
    assert (row["model_version"], row["shadow_version"]) == ("dlib-1", "head-2")
    assert row["disagreement"] == row["shadow_unknown_rate"] == pytest.approx(1 / 3)
    assert (row["unknown_rate"], row["shadow_margin"]) == (0.0, 0.75)


def test_latency_by_hour(known: Address) -> None:
    (row,) = [row for row in ask(known, "SELECT * FROM latency_by_hour") if row["frames"] >= 100]
    assert row["hour"] == HOUR
    assert abs(row["decided_p50_ms"] - 50) <= 2
    assert abs(row["decided_p95_ms"] - 95) <= 2
    assert abs(row["decided_p99_ms"] - 99) <= 2
    for percent in (50, 95, 99):
        assert row[f"written_p{percent}_ms"] >= row[f"writing_p{percent}_ms"]


def test_enrolment_outcomes(known: Address) -> None:
    found = ask(known, "SELECT * FROM enrolment_outcomes ORDER BY outcome")
    wanted = {"day": DAY, "user_id": "ursula"}
    assert found == [
        wanted | {"outcome": "enrolled", "refusal_reason": None, "uploads": 2, "subjects": 2, "mean_quality": 0.75},
        wanted | {"outcome": "refused", "refusal_reason": "no_face", "uploads": 1, "subjects": 1, "mean_quality": None},
    ]


def test_dead_letters_by_reason(known: Address) -> None:
    (row,) = ask(known, "SELECT * FROM dead_letters_by_reason")
    assert (row["day"], row["stage"], row["source_topic"], row["reason"]) == (DAY, "embed", "frames", "unknown_schema")
    assert (row["letters"], row["last_message"]) == (2, "the last one")


LETTERS = ("sent", "sending", "open", "dismissed")


@pytest.fixture(scope="module")
def replayed(bigquery: BigQuery) -> tuple[Address, dict[str, str]]:
    """Frames and uploads with corrections, and letters that were sent back; the ids by name."""
    address = new_address(bigquery)
    apply(address.rest_client(), address.dataset_id)
    ids = {name: new_event_id() for name in ("same", "other", "twice", "faceless", "upload", *LETTERS)}
    stranger = face(Decision.UNKNOWN, None)
    no_face = Refusal("no_face", "no face was found")
    again = {"replay_id": "r1"}
    correct = {"corrects": True, "replay_id": "c1"}
    events: list[Any] = [
        *(match(event_id=ids[name]) for name in ("same", "other", "twice")),
        match(event_id=ids["faceless"], faces=[], refusal=no_face),
        enrolment(event_id=ids["upload"], outcome=Outcome.REFUSED, refusal=no_face),
        match(event_id=ids["same"], **again),
        match(event_id=ids["other"], faces=[stranger], **again),
        match(event_id=ids["faceless"], **again),
        match(event_id=ids["twice"], faces=[stranger], **correct),
        match(event_id=ids["twice"], faces=[face(subject_id="berta")], corrects=True, replay_id="c2"),
        enrolment(event_id=ids["upload"], **correct),
        *(dead_letter(letter_id=ids[name]) for name in LETTERS),
        *(resolution(ids["sent"], state) for state in ResolutionState),
        resolution(ids["sending"], ResolutionState.SENDING),
        resolution(ids["dismissed"], ResolutionState.SENDING),
        dataclasses.replace(resolution(ids["dismissed"], ResolutionState.DISMISSED), because="a test"),
        dataclasses.replace(resolution(ids["dismissed"], ResolutionState.DISMISSED), because="said later"),
    ]
    write(address, [delivery(event, n) for n, event in enumerate(events)])
    return address, ids


def test_results_hold_the_newest_correction(replayed: tuple[Address, dict[str, str]]) -> None:
    address, ids = replayed
    rows = ask(address, "SELECT event_id, replay_id, faces[SAFE_OFFSET(0)].subject_id AS subject FROM results")
    assert {row["event_id"]: (row["replay_id"], row["subject"]) for row in rows} == {
        ids["same"]: (None, "anna"),
        ids["other"]: (None, "anna"),
        ids["faceless"]: (None, None),
        ids["twice"]: ("c2", "berta"),
    }
    assert len(rows) == 4
    for view in ("results", "enrolment_results"):
        told = ask(address, f"SELECT replay_id, decided_latency_ms, written_latency_ms FROM {view}")
        assert all((row["replay_id"] is None) is (row["decided_latency_ms"] is not None) for row in told)
        assert all((row["replay_id"] is None) is (row["written_latency_ms"] is not None) for row in told)
    (row,) = ask(address, "SELECT replay_id, outcome FROM enrolment_results")
    assert row == {"replay_id": "c1", "outcome": "enrolled"}
    assert ask(address, "SELECT COUNT(*) AS n FROM matches") == [{"n": 9}]
    assert ask(address, "SELECT SUM(frames) AS n FROM latency_by_hour") == [{"n": 4}]


def test_differences_between_a_replay_and_live(replayed: tuple[Address, dict[str, str]]) -> None:
    address, ids = replayed
    rows = ask(address, "SELECT * FROM replay_differences")
    found = {
        (row["replay_id"], row["event_id"]): (
            (row["live_decision"], row["live_subject_id"]),
            (row["replay_decision"], row["replay_subject_id"]),
        )
        for row in rows
    }
    assert found == {
        ("r1", ids["other"]): (("match", "anna"), ("unknown", None)),
        ("r1", ids["faceless"]): (("no_face", None), ("match", "anna")),
        ("c1", ids["twice"]): (("match", "anna"), ("unknown", None)),
        ("c2", ids["twice"]): (("match", "anna"), ("match", "berta")),
    }
    (row,) = ask(address, "SELECT * FROM replay_enrolment_differences")
    assert (row["event_id"], row["live_outcome"], row["replay_outcome"]) == (ids["upload"], "refused", "enrolled")


def test_what_became_of_dead_letters(replayed: tuple[Address, dict[str, str]]) -> None:
    address, ids = replayed
    rows = ask(address, "SELECT letter_id, state, replay_id, sent_offset, dismissed_because FROM dead_letter_states")
    assert {row.pop("letter_id"): tuple(row.values()) for row in rows} == {
        ids["sent"]: ("sent", "d1", 7, None),
        ids["sending"]: ("sending", "d1", None, None),
        ids["open"]: ("open", None, None, None),
        ids["dismissed"]: ("dismissed", "d1", None, "a test"),
    }
    (row,) = ask(address, "SELECT letters, sent_back, dismissed FROM dead_letters_by_reason")
    assert row == {"letters": 4, "sent_back": 1, "dismissed": 1}


def test_the_last_that_was_said_of_a_face_corrects_its_match(address: Address) -> None:
    apply(address.rest_client(), address.dataset_id)
    ids = {name: new_event_id() for name in ("right", "wrong", "other", "nobody", "unsaid")}
    stranger = face(Decision.UNKNOWN, None)
    twice = feedback(ids["right"])
    events: list[Any] = [
        *(match(event_id=ids[name], faces=[face(), stranger]) for name in ids),
        *(twice, twice),
        *(feedback(ids["wrong"]), feedback(ids["wrong"], Statement.IS_NOT)),
        feedback(ids["other"], subject_id="berta"),
        feedback(ids["nobody"], Statement.IS_NOT, face=1),
    ]
    write(address, [delivery(event, n) for n, event in enumerate(events)])
    rows = ask(address, "SELECT event_id, face_number, was_right, true_subject_id FROM corrected_matches")
    found = {(row["event_id"], row["face_number"]): (row["was_right"], row["true_subject_id"]) for row in rows}
    assert len(rows) == len(found)
    assert found == {
        (ids["right"], 0): (True, "anna"),
        (ids["wrong"], 0): (False, None),
        (ids["other"], 0): (False, "berta"),
        (ids["nobody"], 1): (True, None),
    }
    assert ask(address, "SELECT COUNT(*) AS n FROM feedback") == [{"n": 5}]


def test_a_wrong_query_says_what_is_wrong(known: Address) -> None:
    with pytest.raises(QueryFailed, match="no_such_table"):
        ask(known, "SELECT * FROM no_such_table")


def test_a_dry_run_reads_nothing(known: Address) -> None:
    answer = run_query(known.rest_client(), "SELECT * FROM results", dataset=known.dataset_id, dry_run=True)
    assert answer.rows == []
    assert answer.bytes_processed is not None


def test_a_server_that_is_away_is_unavailable() -> None:
    nobody = Address("facestream", "d", "http://127.0.0.1:9", "127.0.0.1:9")
    with pytest.raises(SinkUnavailable):
        run_query(nobody.rest_client(), "SELECT 1")
    with pytest.raises(SinkUnavailable):
        apply(nobody.rest_client(), nobody.dataset_id)


DOCUMENT = (Path(__file__).parents[2] / "docs" / "analysts.md").read_text("utf-8")


@pytest.mark.parametrize("sql", re.findall(r"```sql\n(.*?)```", DOCUMENT, re.DOTALL))
def test_every_query_in_the_document_runs(known: Address, sql: str) -> None:
    ask(known, sql)


def test_the_document_names_every_table_and_view() -> None:
    for name in [*(table.name for table in TABLES), *(view.name for view in views())]:
        assert f"`{name}`" in DOCUMENT
