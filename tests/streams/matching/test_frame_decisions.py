"""Which version answers a frame, what is compared with it, and that erased people are not answered about."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from schemas.embeddings import Embedding, Face, FrameOrigin, OtherVector
from schemas.gallery import Template
from schemas.ids import new_event_id
from schemas.ingest import Consent, Mode
from schemas.parts import Decision, Refusal, Source, Timings
from schemas.reasons import Reason
from schemas.results import Match
from schemas.rollout import Comparison
from streams.matching.frame_decisions import FrameDecisions
from streams.matching.gallery_shard import GalleryShard
from streams.settings import Settings
from tests.sinks.examples import BOX, QUALITY
from tests.streams.matching.galleries import CARDS, NOW


def vector(x: float) -> bytes:
    return np.array([x, 0], "<f4").tobytes()


def shard_of(*templates: tuple[str, float, str]) -> GalleryShard:
    """Templates of subjects at ``x`` by a version; each version numbers them anew."""
    shard = GalleryShard()
    numbers: dict[str, int] = {}
    for subject_id, x, version in templates:
        numbers[version] = numbers.get(version, 0) + 1
        consent, source, name = Consent("tests", NOW), Source("uploads", 0, 1), f"template {numbers[version]}"
        shard.add(Template(name, "ursula", subject_id, version, vector(x), QUALITY, consent, source, NOW))
    return shard


def frame(x: float, other: float | None = None, **changes: Any) -> Embedding:
    """One face, by the version one and perhaps by two."""
    origin = FrameOrigin("door", 1, NOW, changes.pop("mode", Mode.IDENTIFY), changes.pop("subject_id", None))
    others = [] if other is None else [OtherVector("two", vector(other))]
    embedding = Embedding(
        event_id=new_event_id(),
        user_id="ursula",
        origin=origin,
        source=Source("frames", 0, 1),
        model_version="one",
        width=1,
        height=1,
        timings=Timings(NOW, NOW, NOW),
        faces=[Face(BOX, [0.0] * 10, QUALITY, vector=vector(x), others=others)],
    )
    return dataclasses.replace(embedding, **changes)


def decide(
    embedding: Embedding, shard: GalleryShard, erased: Refusal | None = None, settings: Settings | None = None
) -> tuple[Match, Sequence[Comparison]]:
    cards = CARDS[: 1 + len(embedding.faces[0].others)]
    decisions = FrameDecisions(settings or Settings())
    return decisions.decide(embedding, cast(FrameOrigin, embedding.origin), shard, cards, erased)


def test_a_frame_is_answered_with_all_that_the_event_says() -> None:
    embedding = frame(0.01)
    match, comparisons = decide(embedding, shard_of(("anna", 0, "one"), ("otto", 5, "one")))
    [face] = match.faces
    assert (face.decision, face.subject_id, face.ambiguous) == (Decision.MATCH, "anna", False)
    assert (match.event_id, match.source, match.camera_id) == (embedding.event_id, embedding.source, "door")
    assert (match.model_version, match.threshold_set, comparisons) == ("one", "usual", [])


def test_two_subjects_who_look_the_same_are_ambiguous() -> None:
    match, _ = decide(frame(0), shard_of(("anna", 0.01, "one"), ("anne", 0.02, "one")))
    [face] = match.faces
    assert (face.decision, face.subject_id, face.ambiguous) == (Decision.MATCH, "anna", True)
    assert [one.subject_id for one in face.candidates] == ["anna", "anne"]


def test_the_settings_say_how_many_candidates_are_listed() -> None:
    shard = shard_of(("anna", 0.01, "one"), ("anne", 0.02, "one"))
    match, _ = decide(frame(0), shard, settings=Settings(candidates=1))
    assert [one.subject_id for one in match.faces[0].candidates] == ["anna"]


def test_verify_of_a_subject_without_templates_says_so() -> None:
    match, _ = decide(frame(0, mode=Mode.VERIFY, subject_id="nobody"), shard_of(("anna", 0, "one")))
    [face] = match.faces
    assert (face.decision, face.reason, face.candidates) == (Decision.NO_MATCH, Reason.SUBJECT_NOT_ENROLLED, [])
    assert match.subject_id == "nobody"


def test_verify_without_a_subject_asks_for_the_user() -> None:
    match, _ = decide(frame(0, mode=Mode.VERIFY), shard_of(("ursula", 0, "one"), ("anna", 0, "one")))
    assert (match.faces[0].decision, match.faces[0].subject_id) == (Decision.MATCH, "ursula")


def test_who_was_erased_is_not_answered_about() -> None:
    erased = Refusal(Reason.ERASED, "erased")
    match, comparisons = decide(frame(0, 0), shard_of(("anna", 0, "one"), ("anna", 0, "two")), erased)
    assert (match.refusal, match.faces, comparisons) == (erased, [], [])


def test_a_version_that_lacks_templates_of_the_user_leaves_the_answer_to_the_next() -> None:
    shard = shard_of(("anna", 0, "one"), ("anna", 3, "two"), ("otto", 4, "two"))
    match, comparisons = decide(frame(9, 4), shard)
    assert (match.model_version, match.faces[0].subject_id, comparisons) == ("two", "otto", [])


def test_where_no_version_is_complete_the_one_that_embed_selected_answers() -> None:
    shard = shard_of(("anna", 0, "one"))
    other = dataclasses.replace(shard_template(), template_id="another", model_version="two")
    shard.add(other)
    match, comparisons = decide(frame(0, 3), shard)
    assert (match.model_version, match.faces[0].subject_id, comparisons) == ("one", "anna", [])


def shard_template() -> Template:
    consent, source = Consent("tests", NOW), Source("uploads", 0, 1)
    return Template("template", "ursula", "anna", "one", vector(0), QUALITY, consent, source, NOW)


def test_a_shadow_never_answers_and_is_compared() -> None:
    shard = shard_of(("anna", 0, "one"), ("otto", 1, "one"), ("anna", 0, "two"), ("otto", 1, "two"))
    match, [comparison] = decide(frame(0, 1, shadows=["two"]), shard)
    assert (match.model_version, match.faces[0].subject_id) == ("one", "anna")
    assert (comparison.model_version, comparison.shadow_version, comparison.agrees) == ("one", "two", False)
    [face] = comparison.faces
    assert (face.subject_id, face.shadow_subject_id) == ("anna", "otto")


def test_a_replay_compares_nothing() -> None:
    shard = shard_of(("anna", 0, "one"), ("anna", 0, "two"))
    match, comparisons = decide(frame(0, 0, shadows=["two"], replay_id="r"), shard)
    assert (match.faces[0].subject_id, match.replay_id, comparisons) == ("anna", "r", [])


def test_a_card_without_the_threshold_set_of_the_settings_uses_its_default() -> None:
    match, _ = decide(frame(0), shard_of(("anna", 0, "one")), settings=Settings(threshold_set="none of that name"))
    assert match.threshold_set == "usual"
