"""Events to write, made up but whole."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.dead_letters import DeadLetter, Header, Resolution, ResolutionState
from schemas.ids import new_event_id
from schemas.ingest import Mode
from schemas.learning import Feedback, Statement
from schemas.partition import TopicPartition
from schemas.parts import Box, Decision, Quality, Source, Timings
from schemas.results import Candidate, Enrolment, Match, MatchedFace, Outcome
from schemas.rollout import ComparedFace, Comparison
from schemas.sightings import Sighting, SightingState
from sinks.base import Delivery, Result

NOW = datetime.now(UTC).replace(microsecond=123456)
QUALITY = Quality(
    score=0.9, size=60.5, sharpness=120.25, brightness=0.5, yaw=-4.0, overall=0.75, blockiness=0.25, covered=0.125
)
BOX = Box(x=-1.5, y=2.0, width=100.0, height=120.0)


def timings(produced_at: datetime = NOW) -> Timings:
    return Timings(
        produced_at=produced_at,
        received_at=produced_at + timedelta(milliseconds=5),
        embedded_at=produced_at + timedelta(milliseconds=25),
        decode_ms=1.5,
        detect_ms=3.5,
        align_ms=0.5,
        embed_ms=6.25,
    )


def face(decision: Decision = Decision.MATCH, subject_id: str | None = "anna") -> MatchedFace:
    candidates = [Candidate(subject_id="anna", similarity=0.75, distance=0.25, fmr=1e-5)]
    return MatchedFace(
        box=BOX,
        landmarks=[float(n) for n in range(10)],
        quality=QUALITY,
        decision=decision,
        subject_id=subject_id,
        candidates=candidates,
    )


def match(**changes: Any) -> Match:
    values: dict[str, Any] = {
        "event_id": new_event_id(),
        "user_id": "ursula",
        "camera_id": "door",
        "sequence": 1,
        "captured_at": NOW,
        "mode": Mode.IDENTIFY,
        "source": Source("frames", 3, 17),
        "model_version": "dlib-1",
        "threshold_set": "fmr-1e-3",
        "width": 640,
        "height": 480,
        "timings": timings(),
        "matched_at": NOW + timedelta(milliseconds=30),
        "faces": [face()],
    }
    return Match(**(values | changes))


def with_otto(**changes: Any) -> Match:
    """Two faces: anna, of whom otto is the second candidate, and otto."""
    near, far = Candidate("anna", 0.75, 0.25, 1e-5), Candidate("otto", 0.125, 0.75, 0.5)
    anna = dataclasses.replace(face(), candidates=[near, far])
    otto = dataclasses.replace(face(subject_id="otto"), candidates=[dataclasses.replace(near, subject_id="otto")])
    return match(faces=[anna, otto], **changes)


def comparison(**changes: Any) -> Comparison:
    values: dict[str, Any] = {
        "comparison_id": new_event_id(),
        "event_id": new_event_id(),
        "user_id": "ursula",
        "camera_id": "door",
        "captured_at": NOW,
        "model_version": "dlib-1",
        "shadow_version": "head-2",
        "faces": [ComparedFace(Decision.MATCH, Decision.UNKNOWN, "anna", 0.25, None, -0.5)],
        "agrees": False,
        "compared_at": NOW + timedelta(milliseconds=30),
    }
    return Comparison(**(values | changes))


def enrolment(**changes: Any) -> Enrolment:
    values: dict[str, Any] = {
        "event_id": new_event_id(),
        "user_id": "ursula",
        "subject_id": "anna",
        "created_at": NOW,
        "outcome": Outcome.ENROLLED,
        "source": Source("uploads", 3, 4),
        "model_version": "dlib-1",
        "templates": 1,
        "timings": timings(),
        "decided_at": NOW + timedelta(milliseconds=30),
        "box": BOX,
        "quality": QUALITY,
    }
    return Enrolment(**(values | changes))


def dead_letter(**changes: Any) -> DeadLetter:
    letter = DeadLetter(
        letter_id=new_event_id(),
        stage="embed",
        topic="frames",
        partition=3,
        offset=99,
        key=b"ursula",
        value=b"\xff\xd8 not quite a picture",
        headers=[Header("trace", b"abc"), Header("empty")],
        reason="unknown_schema",
        error_class="UnknownSchema",
        message="schema fingerprint is unknown",
        attempt=1,
        failed_at=NOW,
    )
    return dataclasses.replace(letter, **changes)


def resolution(letter_id: str, state: ResolutionState) -> Resolution:
    sent = {"partition": 3, "offset": 7} if state is ResolutionState.SENT else {}
    return Resolution(new_event_id(), letter_id, "d1", state, "frames", NOW, **sent)


def feedback(event_id: str, statement: Statement = Statement.IS, subject_id: str = "anna", face: int = 0) -> Feedback:
    return Feedback(
        feedback_id=new_event_id(),
        event_id=event_id,
        user_id="ursula",
        face=face,
        statement=statement,
        subject_id=subject_id,
        training=True,
        decision="match",
        matched_subject_id="anna",
        model_version="dlib-1",
        landmarks=[float(n) for n in range(10)],
        quality=QUALITY,
        source=Source("frames", 3, 17),
        given_at=NOW,
    )


def sighting(**changes: Any) -> Sighting:
    values: dict[str, Any] = {
        "change_id": new_event_id(),
        "sighting_id": new_event_id(),
        "user_id": "ursula",
        "camera_id": "door",
        "state": SightingState.BEGIN,
        "number": 0,
        "first_seen_at": NOW,
        "last_seen_at": NOW + timedelta(seconds=2),
        "frames": 3,
        "share": 0.75,
        "first_event_id": new_event_id(),
        "best_event_id": new_event_id(),
        "best_face": 1,
        "best_box": BOX,
        "model_version": "dlib-1",
        "first_produced_at": NOW,
        "decided_at": NOW + timedelta(seconds=2),
        "subject_id": "anna",
        "similarity": 0.75,
    }
    return Sighting(**(values | changes))


def delivery(event: Result, offset: int = 0, number: int = 0) -> Delivery:
    topics = {
        Match: "matches",
        Comparison: "comparisons",
        Enrolment: "enrolments",
        DeadLetter: "dead-letters",
        Resolution: "resolutions",
        Feedback: "feedback",
        Sighting: "sightings",
    }
    topic = topics[type(event)]
    return Delivery(TopicPartition(topic, number), offset, event)
