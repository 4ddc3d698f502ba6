"""Each kind of event on ``embeddings`` becomes its own results and changes."""

from __future__ import annotations

import dataclasses

import numpy as np

from schemas import codec
from schemas.embeddings import Embedding, FrameOrigin, OtherVector, Reembedding
from schemas.erasure import Erasure
from schemas.ids import new_event_id
from schemas.ingest import Mode
from schemas.reasons import Reason
from schemas.results import Enrolment, Match, Outcome
from schemas.rollout import Comparison
from streams.kafka.messages import Message, TopicPartition
from streams.kafka.topics import Topic
from streams.matching.batch_outcome import BatchOutcome
from streams.matching.decisions import Decisions
from streams.matching.gallery_shard import key_of
from streams.matching.searches import Searches
from streams.settings import Settings
from tests.streams.matching.galleries import CARDS, NOW, Gallery


def decided(gallery: Gallery, event: Embedding | Reembedding) -> BatchOutcome:
    outcome, decisions = BatchOutcome(), Decisions(Settings(), gallery, gallery.erased, Searches(Settings(), 4))
    message = Message(TopicPartition("embeddings", 0), 5, 0, b"ursula", codec.encode(event))
    cards = CARDS if isinstance(event, Embedding) and event.faces[0].others else CARDS[:1]
    decisions.decide(message, event, gallery.partition, cards, outcome)
    return outcome


def vector(x: float) -> bytes:
    return np.array([x, 1], "<f4").tobytes()


def as_frame(upload: Embedding, **changes: object) -> Embedding:
    origin = FrameOrigin("door", 1, NOW, Mode.IDENTIFY, None)
    return dataclasses.replace(upload, origin=origin, event_id=new_event_id(), **changes)  # type: ignore[arg-type]


def test_an_upload_is_an_enrolment_and_a_template() -> None:
    gallery = Gallery()
    upload = gallery.upload("portrait", 0)
    outcome = decided(gallery, upload)
    [(key, value, partition)] = outcome.results[Topic.ENROLMENTS]
    assert (key, partition, codec.decode(value, Enrolment).outcome) == (b"ursula", 0, Outcome.ENROLLED)
    [(_, written, _)] = outcome.writes
    assert written == key_of("ursula", upload.event_id, "one")
    assert set(outcome.results) == {Topic.ENROLMENTS}


def test_a_frame_is_a_match_and_changes_nothing() -> None:
    gallery = Gallery()
    gallery.send(gallery.upload("portrait", 0))
    outcome = decided(gallery, as_frame(gallery.upload("scene", 0.01)))
    [(_, value, _)] = outcome.results[Topic.MATCHES]
    assert codec.decode(value, Match).faces[0].subject_id == "anna"
    assert (outcome.writes, outcome.chips, set(outcome.results)) == ([], [], {Topic.MATCHES})


def test_a_frame_by_two_versions_is_a_comparison_too() -> None:
    gallery = Gallery()
    others = [OtherVector("two", vector(3))]
    gallery.send(gallery.upload("portrait", 0, others=others))
    outcome = decided(gallery, as_frame(gallery.upload("scene", 0, others=others), shadows=["two"]))
    [(_, value, _)] = outcome.results[Topic.COMPARISONS]
    assert codec.decode(value, Comparison).agrees


def test_a_reembedded_template_is_written_and_has_no_result() -> None:
    gallery = Gallery()
    [enrolled] = gallery.send(gallery.upload("portrait", 0))
    outcome = decided(gallery, Reembedding(enrolled.event_id, "ursula", "two", vector(3)))
    [(_, written, _)] = outcome.writes
    assert written == key_of("ursula", enrolled.event_id, "two")
    assert not outcome.results


def test_events_from_before_an_erasure_are_refused() -> None:
    gallery = Gallery()
    upload = gallery.upload("portrait", 0)
    gallery.erased.add(Erasure(new_event_id(), "ursula", NOW), round(1000 * NOW.timestamp()) + 60_000)
    outcome = decided(gallery, upload)
    [(_, enrolment, _)] = outcome.results[Topic.ENROLMENTS]
    refusal = codec.decode(enrolment, Enrolment).refusal
    assert refusal is not None
    assert (refusal.reason, outcome.writes) == (Reason.ERASED, [])
    assert outcome.chips == [(upload.event_id.encode(), None, 0)]
    [(_, match, _)] = decided(gallery, as_frame(upload)).results[Topic.MATCHES]
    answered = codec.decode(match, Match)
    assert answered.refusal is not None
    assert (answered.refusal.reason, answered.faces) == (Reason.ERASED, [])
