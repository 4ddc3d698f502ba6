"""What comes of an upload: enrolled with its templates, or refused with a reason; and templates by another version."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pytest

from schemas.embeddings import Embedding, Face, OtherVector, Reembedding
from schemas.erasure import Erasure
from schemas.ids import new_event_id
from schemas.ingest import Consent
from schemas.parts import Refusal
from schemas.reasons import Reason
from schemas.results import Enrolment, Outcome
from streams.matching.gallery_partition import GalleryChange
from tests.sinks.examples import BOX, QUALITY
from tests.streams.matching.galleries import NOW, Gallery


def vector(x: float) -> bytes:
    return np.array([x, 1], "<f4").tobytes()


def enrolled(gallery: Gallery, x: float = 0.0) -> str:
    """The id of a template that is there."""
    [outcome] = gallery.send(gallery.upload(f"photo {x}", x))
    assert outcome.outcome is Outcome.ENROLLED
    return outcome.event_id


def assert_refused(outcome: Enrolment, change: GalleryChange, reason: Reason) -> None:
    assert outcome.refusal is not None
    assert (outcome.outcome, outcome.refusal.reason) == (Outcome.REFUSED, reason)
    assert (change.kept, change.removed, outcome.templates) == ([], [], 0)


def test_an_upload_is_one_template_with_all_that_the_event_says() -> None:
    gallery = Gallery()
    upload = gallery.upload("portrait", 0, others=[OtherVector("two", vector(2))])
    outcome, change = gallery.decide(upload)
    assert (outcome.outcome, outcome.refusal, outcome.templates, outcome.box) == (Outcome.ENROLLED, None, 1, BOX)
    one, two = change.kept
    assert [(each.model_version, each.vector) for each in (one, two)] == [("one", vector(0)), ("two", vector(2))]
    assert dataclasses.replace(two, model_version="one", vector=one.vector) == one
    assert (one.template_id, one.user_id, one.subject_id) == (upload.event_id, "ursula", "anna")
    assert (one.source, one.enrolled_at) == (upload.source, upload.timings.produced_at)


def test_no_template_is_made_of_a_retired_version() -> None:
    gallery = Gallery()
    gallery.retired.add("two")
    _, change = gallery.decide(gallery.upload("portrait", 0, others=[OtherVector("two", vector(2))]))
    assert [one.model_version for one in change.kept] == ["one"]


@pytest.mark.parametrize(
    "consent",
    [
        Consent("tests", NOW, NOW),
        Consent("tests", NOW + timedelta(days=2)),
        Consent("  ", NOW),
    ],
    ids=["has ended", "begins later", "has no purpose"],
)
def test_without_a_valid_consent_nothing_is_kept(consent: Consent) -> None:
    gallery = Gallery()
    assert_refused(*gallery.decide(gallery.upload("portrait", 0, consent=consent)), Reason.NO_CONSENT)


def refused_by_embed(upload: Embedding) -> Embedding:
    return dataclasses.replace(upload, faces=[], refusal=Refusal(Reason.UNDECODABLE, "it is a text"))


def with_small_face(upload: Embedding) -> Embedding:
    return dataclasses.replace(upload, faces=[Face(BOX, [0.0] * 10, QUALITY, refusal=Reason.TOO_SMALL)])


def without_face(upload: Embedding) -> Embedding:
    return dataclasses.replace(upload, faces=[])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (refused_by_embed, Reason.UNDECODABLE),
        (with_small_face, Reason.TOO_SMALL),
        (without_face, Reason.NO_FACE),
    ],
)
def test_a_picture_without_a_usable_face_is_refused(change: Callable[[Embedding], Embedding], reason: Reason) -> None:
    gallery = Gallery()
    assert_refused(*gallery.decide(change(gallery.upload("portrait", 0))), reason)


@pytest.mark.parametrize("subject_id", ["anna", None], ids=["the subject", "the whole user"])
def test_who_was_erased_after_the_upload_is_refused_and_the_chip_goes(subject_id: str | None) -> None:
    gallery = Gallery()
    upload = gallery.upload("portrait", 0)
    at_ms = 1000 * int(upload.timings.produced_at.timestamp()) + 1
    gallery.erased.add(Erasure(new_event_id(), "ursula", NOW, subject_id), at_ms)
    outcome, change = gallery.decide(upload)
    assert_refused(outcome, change, Reason.ERASED)
    assert change.chips == [upload.event_id]
    [later] = gallery.send(gallery.upload("portrait", 0))
    assert later.outcome is Outcome.ENROLLED, "an erasure covers what came before it"


def test_another_subjects_erasure_changes_nothing() -> None:
    gallery = Gallery()
    upload = gallery.upload("portrait", 0)
    gallery.erased.add(Erasure(new_event_id(), "ursula", NOW, "otto"), 1000 * int(NOW.timestamp()) + 10_000)
    assert gallery.decide(upload)[0].outcome is Outcome.ENROLLED


def test_a_template_by_another_version_stands_beside() -> None:
    gallery = Gallery()
    template_id = enrolled(gallery)
    change = gallery.reembed(Reembedding(template_id, "ursula", "two", vector(7)))
    [kept] = change.kept
    [one] = gallery.of()
    assert kept == dataclasses.replace(one, model_version="two", vector=vector(7))
    assert gallery.shard.is_complete("ursula", "two")


def test_a_removed_template_does_not_come_back_by_another_version() -> None:
    gallery = Gallery()
    template_id = enrolled(gallery)
    gallery.partition.erase("ursula", gallery.shard.of("ursula", "anna"))
    gallery.table.clear()
    assert gallery.reembed(Reembedding(template_id, "ursula", "two", vector(7))) == GalleryChange()
    assert len(gallery.shard) == 0


def test_a_template_that_a_failed_batch_removed_does_not_come_back_either() -> None:
    gallery = Gallery()
    template_id = enrolled(gallery)
    gallery.partition.remove("ursula", [template_id])
    assert gallery.reembed(Reembedding(template_id, "ursula", "two", vector(7))) == GalleryChange()


def test_nothing_is_embedded_again_by_a_retired_version() -> None:
    gallery = Gallery()
    template_id = enrolled(gallery)
    gallery.retired.add("two")
    assert gallery.reembed(Reembedding(template_id, "ursula", "two", vector(7))) == GalleryChange()
