"""A person is erased from BigQuery's tables, and nobody else."""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Iterator
from typing import Any

import pytest

from schemas.clock import utc_now
from schemas.dead_letters import DeadLetter
from schemas.drift import Drift
from schemas.ingest import Mode
from schemas.learning import Feedback
from schemas.partition import TopicPartition
from schemas.results import Candidate, Enrolment, Match
from schemas.rollout import Comparison
from schemas.sightings import Sighting, SightingState
from sinks.base import Delivery, Position, Result
from sinks.bigquery import Address, BigQuerySink, run_query
from sinks.bigquery.erase import count
from tests.sinks.examples import comparison, dead_letter, enrolment, face, feedback, match, sighting, with_otto
from tests.sinks.servers import apply_tables

TOPICS: dict[str, type[Result]] = {
    "matches": Match,
    "comparisons": Comparison,
    "enrolments": Enrolment,
    "dead_letters": DeadLetter,
    "drift": Drift,
    "feedback": Feedback,
    "sightings": Sighting,
}
"""By the name of their table."""


@pytest.fixture
def sink(address: Address) -> Iterator[BigQuerySink]:
    apply_tables(address)
    sink = BigQuerySink(address, TOPICS)
    sink.assign([Position(TopicPartition(topic, 0), 0, "") for topic in TOPICS])
    yield sink
    sink.close()


def write(sink: BigQuerySink, *events: Result) -> None:
    names = {event_type: topic for topic, event_type in TOPICS.items()}
    sink.write([Delivery(TopicPartition(names[type(event)], 0), n, event) for n, event in enumerate(events)])


def rows(address: Address, table: str, column: str = "event_id") -> dict[str, dict[str, Any]]:
    found = run_query(address.rest_client(), f"SELECT * FROM {table}", dataset=address.dataset_id).rows
    return {row[column]: row for row in found}


def test_a_subject_goes_from_what_is_about_others_and_what_is_about_it_goes(
    address: Address, sink: BigQuerySink
) -> None:
    both, anna, of_other = with_otto(), match(), with_otto(user_id="bert")
    asked = match(mode=Mode.VERIFY, subject_id="otto")
    enrolled = [enrolment(subject_id=name) for name in ("otto", "anna")]
    said = [feedback(both.event_id, subject_id=name) for name in ("anna", "otto")]
    compared = [comparison(), comparison()]
    compared[1] = dataclasses.replace(
        compared[1], faces=[dataclasses.replace(compared[1].faces[0], shadow_subject_id="otto")]
    )
    write(sink, both, anna, of_other, asked, *enrolled, *said, *compared)
    expected = {"matches": 2, "comparisons": 1, "enrolments": 1, "feedback": 1, "sightings": 0}
    assert count(address.rest_client(), address.dataset_id, "ursula", "otto") == expected
    assert sink.erase("ursula", "otto") == expected
    found = rows(address, "matches")
    assert set(found) == {both.event_id, anna.event_id, of_other.event_id}
    first, second = found[both.event_id]["faces"]
    assert (first["decision"], first["subject_id"]) == ("match", "anna")
    assert [one["subject_id"] for one in first["candidates"]] == ["anna"]
    assert (second["decision"], second["subject_id"], second["reason"]) == ("refused", None, "erased")
    assert second["candidates"] == []
    assert first["box"] == rows(address, "matches")[anna.event_id]["faces"][0]["box"], "all else is as it was"
    assert "otto" in str(found[of_other.event_id]), "another user's otto is another person"
    assert {row["subject_id"] for row in rows(address, "enrolments").values()} == {"anna"}
    assert set(rows(address, "feedback", "feedback_id")) == {said[0].feedback_id}
    assert set(rows(address, "comparisons", "comparison_id")) == {compared[0].comparison_id}
    assert sink.erase("ursula", "otto") == {
        "matches": 0,
        "comparisons": 0,
        "enrolments": 0,
        "feedback": 0,
        "sightings": 0,
    }


def test_what_was_kept_under_another_spelling_goes_and_who_was_like_it_forgets_it(
    address: Address, sink: BigQuerySink
) -> None:
    (user, old_user), (zoe, old_zoe) = (
        [unicodedata.normalize(form, name) for form in ("NFC", "NFD")] for name in ("Jos\u00e9", "Zo\u00eb")
    )
    like = enrolment(user_id=user, similar_subject_id=zoe, detail="…")
    candidates = [Candidate(name, 0.9, 0.1, 1e-9) for name in ("anna", old_zoe)]
    seen = match(user_id=old_user, faces=[dataclasses.replace(face(), candidates=candidates, ambiguous=True)])
    write(sink, like, enrolment(user_id=old_user, subject_id=old_zoe), seen)
    would_go = count(address.rest_client(), address.dataset_id, user, zoe)
    removed = sink.erase(user, zoe)
    assert would_go == removed == {"matches": 1, "comparisons": 0, "enrolments": 2, "feedback": 0, "sightings": 0}
    (row,) = rows(address, "enrolments").values()
    assert (row["event_id"], row["similar_subject_id"], row["detail"]) == (like.event_id, None, None)
    (row,) = rows(address, "matches").values()
    assert row["faces"][0]["ambiguous"] is False
    assert [one["subject_id"] for one in row["faces"][0]["candidates"]] == ["anna"]
    assert sink.erase(user, None) == dict.fromkeys(TOPICS, 0) | {"matches": 1, "enrolments": 1}


def test_a_user_goes_from_every_table(address: Address, sink: BigQuerySink) -> None:
    report = Drift("r1", "ursula", "door", "some", 1, 1, False, [], utc_now(), utc_now())
    of_ursula: list[Result] = [match(), comparison(), enrolment(), dead_letter(), report]
    of_bert = [match(user_id="bert", faces=[face()]), dead_letter(key=b"bert")]
    write(sink, *of_ursula, feedback(of_ursula[0].event_id), sighting(), *of_bert)  # type: ignore[union-attr]
    assert count(address.rest_client(), address.dataset_id, "ursula", None) == dict.fromkeys(TOPICS, 1)
    assert sink.erase("ursula", None) == dict.fromkeys(TOPICS, 1)
    left = {
        table: run_query(address.rest_client(), f"SELECT user_id FROM {table}", dataset=address.dataset_id).rows
        for table in TOPICS
    }
    bert = [{"user_id": "bert"}]
    assert left == {table: bert if table in ("matches", "dead_letters") else [] for table in TOPICS}


def test_a_sighting_that_ever_named_a_subject_goes_from_its_first_row_on(address: Address, sink: BigQuerySink) -> None:
    first = sighting(subject_id=None, stranger_id="stranger-1")
    then = sighting(sighting_id=first.sighting_id, number=1, state=SightingState.UPDATE, subject_id="otto")
    anna, of_bert = sighting(), sighting(user_id="bert", subject_id="otto")
    write(sink, first, then, then, anna, of_bert)
    assert len(rows(address, "sightings", "change_id")) == 4, "what comes twice is one row"
    assert count(address.rest_client(), address.dataset_id, "ursula", "otto")["sightings"] == 2
    assert sink.erase("ursula", "otto")["sightings"] == 2
    assert set(rows(address, "sightings", "change_id")) == {anna.change_id, of_bert.change_id}
