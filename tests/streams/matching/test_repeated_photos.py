"""The same photo of the same subject is one template, whatever happens around it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.embeddings import OtherVector, UploadOrigin
from schemas.erasure import Erasure
from schemas.ids import new_event_id
from schemas.ingest import Consent
from schemas.results import Outcome
from tests.streams.matching.galleries import NOW, ROOM, Gallery


def test_the_same_photo_every_night_is_one_template() -> None:
    gallery = Gallery()
    first = gallery.upload("portrait", 0)
    nights = [gallery.upload("portrait", 0) for _ in range(3 * ROOM)]
    [outcome] = gallery.send(first)
    assert (outcome.outcome, outcome.templates, outcome.repeats, outcome.detail) == (Outcome.ENROLLED, 1, None, None)
    for night in nights:
        [outcome] = gallery.send(night)
        assert (outcome.outcome, outcome.refusal, outcome.templates) == (Outcome.ENROLLED, None, 1)
        assert outcome.repeats == first.event_id
        assert "enrolled already" in (outcome.detail or "")
    [template] = gallery.of()
    assert template.template_id == first.event_id
    assert template.source == nights[-1].source, "of its messages Kafka keeps the newest longest"
    assert gallery.chips_gone == [one.event_id for one in nights], "nothing is learned from a copy"
    [outcome] = gallery.send(gallery.upload("another", 0.4))
    assert (outcome.outcome, outcome.templates, outcome.repeats) == (Outcome.ENROLLED, 2, None)


def test_the_same_photo_twice_in_a_batch() -> None:
    gallery = Gallery()
    outcomes = gallery.send(*(gallery.upload("portrait", 0) for _ in range(5)))
    assert [one.templates for one in outcomes] == [1] * 5
    assert len(gallery.of()) == 1


def test_the_bytes_tell_where_the_vector_does_not() -> None:
    """A template may have its vector from a kept face, of which a new model made it."""
    gallery = Gallery()
    gallery.send(gallery.upload("portrait", 0))
    [outcome] = gallery.send(gallery.upload("portrait", 0.05))
    assert outcome.repeats is not None
    assert len(gallery.of()) == 1


def test_the_same_pixels_in_another_file_are_the_same_photo() -> None:
    gallery = Gallery()
    gallery.send(gallery.upload("portrait", 0))
    [outcome] = gallery.send(gallery.upload("portrait with another comment in it", 1e-6))
    assert outcome.repeats is not None


def test_a_template_from_before_the_digest_is_known_by_its_vector_and_has_it_then() -> None:
    gallery = Gallery()
    [old] = gallery.fill_by_an_earlier_release("portrait", 0, 1)
    new = gallery.upload("portrait", 1e-6)
    [outcome] = gallery.send(new)
    assert outcome.repeats == old
    [template] = gallery.of()
    assert template.picture_sha256 == cast(UploadOrigin, new.origin).picture_sha256


def test_of_an_embed_worker_of_before_no_digest_comes() -> None:
    gallery = Gallery()
    gallery.send(gallery.upload("portrait", 0, digest=None))
    same, other = gallery.send(gallery.upload("portrait", 0, digest=None), gallery.upload("x", 0.3, digest=None))
    assert (same.templates, other.templates) == (1, 2)


def test_copies_that_an_earlier_release_has_kept_make_room() -> None:
    gallery = Gallery()
    copies = gallery.fill_by_an_earlier_release("portrait", 0, ROOM)
    long = gallery.table["ursula", copies[1], "one"]
    short = dataclasses.replace(long.consent, expires_at=NOW + timedelta(days=400))
    for name in (copies[0], copies[2]):
        gallery.table["ursula", name, "one"] = dataclasses.replace(gallery.table["ursula", name, "one"], consent=short)
    [outcome] = gallery.send(gallery.upload("another", 0.4), fails_first=True)
    assert (outcome.outcome, outcome.templates) == (Outcome.ENROLLED, 2)
    assert {one.template_id for one in gallery.of()} == {copies[1], outcome.event_id}, "whose consent lasts longest"
    assert {copies[0], copies[2]} <= set(gallery.chips_gone)


def test_a_subject_that_is_full_of_different_photos_is_full() -> None:
    gallery = Gallery()
    gallery.send(*(gallery.upload(f"photo {n}", n / 10) for n in range(ROOM)))
    new, again = gallery.send(gallery.upload("one more", 0.4), gallery.upload("photo 1", 0.1))
    assert new.refusal is not None
    assert (new.outcome, new.refusal.reason, new.templates) == (Outcome.REFUSED, "subject_full", ROOM)
    assert (again.outcome, again.templates) == (Outcome.ENROLLED, ROOM), "what is there is no further photo"


def test_the_photo_of_one_subject_is_new_for_another_and_that_is_told() -> None:
    gallery = Gallery()
    [first] = gallery.send(gallery.upload("portrait", 0))
    [second] = gallery.send(gallery.upload("portrait", 0, subject_id="barack"))
    [other] = gallery.send(gallery.upload("somebody", 0.45, subject_id="carla"))
    assert (first.similar_subject_id, second.similar_subject_id, other.similar_subject_id) == (None, "anna", None)
    assert (second.templates, second.repeats) == (1, None)
    assert "same person" in (second.detail or "")
    assert "anna" not in (second.detail or ""), "so that the sentence need not be changed when she is erased"
    [again] = gallery.send(gallery.upload("portrait", 0))
    assert (again.similar_subject_id, again.repeats) == ("barack", first.event_id)


LATER, SOONER = NOW + timedelta(days=30), NOW + timedelta(days=10)


@pytest.mark.parametrize(
    ("known", "new", "counts"),
    [
        ({"expires_at": SOONER}, {"expires_at": LATER}, "new"),
        ({"expires_at": SOONER}, {}, "new"),
        ({"expires_at": LATER}, {"expires_at": SOONER}, "known"),
        ({}, {"expires_at": LATER}, "known"),
        ({}, {}, "known"),
        ({}, {"training": True}, "new"),
        ({"training": True}, {}, "known"),
        ({"expires_at": LATER}, {"expires_at": SOONER, "training": True}, "known"),
    ],
)
def test_the_consent_that_goes_further_counts(known: dict[str, Any], new: dict[str, Any], counts: str) -> None:
    gallery = Gallery()
    events = {
        name: gallery.upload("portrait", 0, consent=Consent("tests", NOW, **agreed))
        for name, agreed in (("known", known), ("new", new))
    }
    gallery.send(events["known"])
    [outcome] = gallery.send(events["new"])
    assert (outcome.repeats, outcome.templates) == (events["known"].event_id, 1)
    [template] = gallery.of()
    assert template.template_id == events[counts].event_id, "its chip is the one that is kept"
    assert template.consent == cast(UploadOrigin, events[counts].origin).consent
    gone = events["new" if counts == "known" else "known"]
    assert gallery.chips_gone == [gone.event_id]
    ends_sooner = template.consent.expires_at == SOONER
    assert gallery.shard.expired(NOW + timedelta(days=11)) == ([template] if ends_sooner else [])


def test_who_comes_again_after_an_erasure_is_new_though_the_template_is_still_there() -> None:
    gallery = Gallery()
    gallery.send(gallery.upload("portrait", 0))
    gallery.erased.add(Erasure(new_event_id(), "ursula", NOW, "anna"), 1000 * int(NOW.timestamp()) + 1_500)
    [outcome] = gallery.send(gallery.upload("portrait", 0))
    assert (outcome.outcome, outcome.repeats, outcome.templates) == (Outcome.ENROLLED, None, 2)


def test_after_the_templates_were_removed_the_photo_is_new() -> None:
    gallery = Gallery()
    gallery.send(gallery.upload("portrait", 0))
    gallery.shard.erase("ursula", gallery.shard.of("ursula", "anna"))
    gallery.table.clear()
    [outcome] = gallery.send(gallery.upload("portrait", 0))
    assert (outcome.repeats, outcome.templates) == (None, 1)
    assert len(gallery.of()) == 1


def test_a_replay_beside_changes_nothing() -> None:
    gallery = Gallery()
    first = gallery.upload("portrait", 0)
    gallery.send(first)
    before = dict(gallery.table)
    again = dataclasses.replace(first, replay_id="r")
    copy = gallery.upload("portrait", 0, replay_id="r", consent=Consent("tests", NOW, training=True))
    own, outcome = gallery.send(again, copy)
    assert (own.repeats, own.outcome) == (None, Outcome.ENROLLED)
    assert outcome.repeats == first.event_id
    assert (gallery.table, gallery.chips_gone) == (before, [])


def test_a_replay_of_many_nights_rebuilds_one_template() -> None:
    gallery = Gallery()
    nights = [gallery.upload("portrait", 0) for _ in range(2 * ROOM)]
    gallery.send(*nights)
    [before] = gallery.of()
    for lost in (False, True):
        if lost:
            gallery.table.clear()
            gallery.shard.erase("ursula", gallery.shard.of("ursula", None))
        gallery.send(*(dataclasses.replace(one, replay_id="r", corrects=True) for one in nights))
        assert gallery.of() == [before]


def test_what_a_new_version_makes_of_the_photo_goes_to_its_one_template() -> None:
    gallery = Gallery()
    first = gallery.upload("portrait", 0)
    gallery.send(first)
    by_two = [OtherVector("two", np.array([3, 4], "<f4").tobytes())]
    gallery.send(gallery.upload("portrait", 0, others=by_two))
    assert [one.template_id for one in gallery.of(version="two")] == [first.event_id]
    assert gallery.shard.is_complete("ursula", "two")
    # A consent that goes further takes the place of all versions, also of one that embed makes no more.
    forever = Consent("tests", NOW, training=True)
    new = gallery.upload("portrait", 0, consent=forever)
    gallery.send(new)
    assert [[one.template_id for one in gallery.of(version=v)] for v in ("one", "two")] == [[new.event_id]] * 2


def test_another_photo_with_the_same_id_changes_nothing() -> None:
    gallery = Gallery()
    first = gallery.upload("portrait", 0)
    gallery.send(first)
    before = dict(gallery.table)
    gallery.send(gallery.upload("another", 0.4, event_id=first.event_id))
    assert gallery.table == before


PHOTOS = {"a": 0.0, "b": 0.3, "c": 0.6}
CONSENTS = [
    Consent("tests", NOW, expires_at, training)
    for expires_at in (NOW + timedelta(days=400), NOW + timedelta(days=500), None)
    for training in (False, True)
]
UPLOADS = st.lists(st.tuples(st.sampled_from(sorted(PHOTOS)), st.sampled_from(CONSENTS)), max_size=8)


@settings(max_examples=60)
@given(batches=st.lists(st.tuples(UPLOADS, st.booleans()), max_size=4))
def test_however_often_they_come_there_is_one_template_a_photo(
    batches: Sequence[tuple[Sequence[tuple[str, Consent]], bool]],
) -> None:
    gallery = Gallery()
    sent: dict[str, list[Consent]] = {}
    chips: set[str] = set()
    for uploads, fails_first in batches:
        events = [gallery.upload(photo, PHOTOS[photo], consent=consent) for photo, consent in uploads]
        chips |= {one.event_id for one in events}
        outcomes = gallery.send(*events, fails_first=fails_first)
        assert all(one.outcome is Outcome.ENROLLED for one in outcomes)
        for photo, consent in uploads:
            sent.setdefault(photo, []).append(consent)
    kept = {one.picture_sha256: one for one in gallery.of()}
    assert len(kept) == len(gallery.of())
    assert set(kept) == {sha256(photo.encode()).hexdigest() for photo in sent}
    never = datetime.max.replace(tzinfo=UTC)
    for photo, consents in sent.items():
        ends = kept[sha256(photo.encode()).hexdigest()].consent.expires_at
        assert (ends or never) == max(one.expires_at or never for one in consents)
    assert chips - set(gallery.chips_gone) == {one.template_id for one in kept.values()}, "one face a template"
