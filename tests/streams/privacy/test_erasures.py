"""Which events are about somebody who has been erased, and what is left of those that are not only."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest

from schemas.dead_letters import ResolutionState
from schemas.embeddings import Embedding, FrameOrigin
from schemas.erasure import ErasedPhoto, Erasure
from schemas.ids import new_event_id
from schemas.ingest import Mode
from schemas.parts import Decision, Refusal, Source
from schemas.reasons import Reason
from schemas.results import Candidate, Match, SearchCoverage
from sinks.base import Delivery, Result
from streams.kafka.messages import Message, TopicPartition
from streams.privacy.erasures import Erasures
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
    sighting,
    timings,
    with_otto,
)


def erased(subject_id: str | None = None, at_ms: int = 1_000) -> Erasures:
    erasures = Erasures()
    erasures.add(Erasure(new_event_id(), "ursula", NOW, subject_id), at_ms)
    return erasures


def left(erasures: Erasures, event: Result, at_ms: int) -> Result | None:
    one = delivery(event)
    message = Message(TopicPartition(one.partition.topic, 0), 0, at_ms, b"ursula", b"")
    found = erasures.left([one], {(one.partition, 0): message})
    return found[0].event if found else None


OF_URSULA = [match(), comparison(), enrolment(), feedback(new_event_id()), dead_letter()]


@pytest.mark.parametrize("event", OF_URSULA, ids=lambda event: type(event).__name__)
def test_nothing_of_a_user_is_written_that_was_there_when_he_was_erased(event: Result) -> None:
    assert left(erased(), event, 1_000) is None
    assert left(erased(), event, 1_001) is event, "what comes later is new"
    assert left(erased("somebody"), event, 1_000) is event
    assert left(Erasures(), event, 1_000) is event


def test_nothing_of_an_erased_photo_is_written_but_all_else_of_its_subject() -> None:
    of_photo = enrolment()
    repeat = dataclasses.replace(of_photo, event_id=new_event_id(), repeats=of_photo.event_id)
    photo = ErasedPhoto([of_photo.event_id])
    erasures = Erasures()
    erasures.add(Erasure(new_event_id(), "ursula", NOW, of_photo.subject_id, photo=photo), 1_000)
    for one in (of_photo, repeat):
        assert left(erasures, one, 1_000) is None
        assert left(erasures, one, 1_001) is one
    another = dataclasses.replace(of_photo, event_id=new_event_id())
    assert left(erasures, another, 1_000) is another
    assert left(erasures, match(), 1_000) is not None, "the subject is not erased"
    both = Erasures()
    both.update(erasures)
    assert left(both, of_photo, 1_000) is None and both.names("ursula")


def test_others_are_left_alone() -> None:
    letter, resolved = dead_letter(key=None), resolution("l1", ResolutionState.SENT)
    for event in (match(user_id="bert"), dead_letter(key=b"bert"), letter, resolved):
        assert left(erased(), event, 1) is event


def test_an_answer_about_others_stays_without_the_subject() -> None:
    both = with_otto()
    found = left(erased("otto"), both, 1)
    assert dataclasses.replace(found, faces=[]) == dataclasses.replace(both, faces=[])  # type: ignore[type-var]
    anna, otto = found.faces  # type: ignore[union-attr]
    assert (anna.decision, anna.subject_id, [one.subject_id for one in anna.candidates]) == ("match", "anna", ["anna"])
    assert (otto.decision, otto.subject_id, otto.reason, otto.candidates) == (Decision.REFUSED, None, "erased", [])


def test_of_the_user_no_vectors_stay_since_they_do_not_say_whose_they_are() -> None:
    """Drift would learn anew from frames of before the erasure, after which it has forgotten the user's cameras."""
    origin = FrameOrigin("door", 1, NOW, Mode.IDENTIFY)
    seen = Embedding(new_event_id(), "ursula", origin, Source("frames", 0, 1), "dlib-1", 9, 9, timings())
    partition = TopicPartition("embeddings", 0)

    def stay(at_ms: int) -> bool:
        message = Message(partition, 0, at_ms, b"ursula", b"")
        return bool(erased("otto").left([Delivery(partition, 0, seen)], {(partition, 0): message}))

    assert not stay(1_000)
    assert stay(1_001)


def test_an_answer_about_the_subject_alone_goes() -> None:
    for event in (enrolment(subject_id="otto"), match(subject_id="otto"), feedback("e", subject_id="otto")):
        assert left(erased("otto"), event, 1) is None


def test_an_enrolment_that_is_like_the_subject_stays_without_it() -> None:
    like = enrolment(similar_subject_id="otto", detail="…")
    assert left(erased("otto"), like, 1) == dataclasses.replace(like, similar_subject_id=None, detail=None)
    assert left(erased("otto"), like, 2_000) is like


def test_a_match_is_not_ambiguous_any_more() -> None:
    two = dataclasses.replace(with_otto().faces[0], ambiguous=True)
    found = left(erased("otto"), match(faces=[two]), 1)
    assert found.faces == [dataclasses.replace(two, candidates=two.candidates[:1], ambiguous=False)]  # type: ignore[union-attr]


def test_what_match_has_refused_for_it_goes_at_any_time() -> None:
    refusal = Refusal(Reason.ERASED, "gone")
    assert left(Erasures(), enrolment(refusal=refusal), 9_000) is None


def test_of_several_erasures_the_last_counts() -> None:
    erasures = erased(at_ms=1_000)
    erasures.update(erased(at_ms=2_000))
    erasures.update(erased(at_ms=500))
    assert left(erasures, match(), 2_000) is None
    assert erasures.touches(2_000, "ursula")
    assert not erasures.touches(2_001, "ursula")


def found_in_a_search(*people: tuple[str, str], asked_ms: int = 500) -> Match:
    """The answer to Ursula's search, which names these users and subjects."""
    candidates = [Candidate(subject, 0.9, 0.1, 1e-6, user) for user, subject in people]
    (user_id, subject_id), *_ = people
    one = dataclasses.replace(face(subject_id=subject_id), user_id=user_id, candidates=candidates, ambiguous=True)
    asked_at = datetime.fromtimestamp(asked_ms / 1000, UTC)
    return match(mode=Mode.SEARCH, faces=[one], search=SearchCoverage(1, [0], 9, asked_at))


@pytest.mark.parametrize("subject_id", ["zoe", None])
def test_a_search_that_was_asked_before_names_nobody_who_was_erased(subject_id: str | None) -> None:
    erasures = Erasures()
    erasures.add(Erasure(new_event_id(), "bert", NOW, subject_id, in_searches=True), 1_000)
    event = found_in_a_search(("bert", "zoe"), ("cid", "zoe"))
    written = left(erasures, event, 2_000)
    assert isinstance(written, Match)
    [one] = written.faces
    assert (one.decision, one.user_id, one.subject_id, one.reason) == (Decision.REFUSED, None, None, Reason.ERASED)
    assert [(of.user_id, of.subject_id) for of in one.candidates] == [("cid", "zoe")]
    assert not one.ambiguous
    later = found_in_a_search(("bert", "zoe"), asked_ms=1_001)
    assert left(erasures, later, 2_000) is later, "whoever is found later was enrolled again"


def test_a_search_names_another_users_subject_of_the_same_name() -> None:
    event = found_in_a_search(("bert", "otto"), ("ursula", "otto"))
    written = left(erased("otto"), event, 2_000)
    assert isinstance(written, Match)
    assert [(one.user_id, one.subject_id) for one in written.faces[0].candidates] == [("bert", "otto")]
    assert left(erased(), event, 2_000) is None, "it was asked before its user was erased"


def test_a_sighting_is_as_old_as_its_first_frame_however_late_it_is_told_of() -> None:
    then_ms = round(NOW.timestamp() * 1000)
    event = sighting(first_produced_at=NOW)
    assert left(erased("anna", then_ms + 10), event, then_ms + 9_999) is None
    assert left(erased(None, then_ms + 10), event, then_ms + 9_999) is None
    assert left(erased("anna", then_ms - 10), event, then_ms + 9_999) is event, "she has come again"
    assert left(erased("otto", then_ms + 10), event, then_ms + 9_999) is event
