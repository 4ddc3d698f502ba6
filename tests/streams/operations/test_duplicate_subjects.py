"""Subjects of one user whose templates are as near as those of one person are reported, each pair once."""

from __future__ import annotations

import numpy as np

from schemas.gallery import Template
from schemas.ids import new_event_id
from schemas.ingest import Consent
from schemas.parts import Source
from streams.operations.duplicate_subjects import duplicates_among
from tests.sinks.examples import QUALITY
from tests.streams.matching.galleries import CARDS, NOW

KNOWN = {card.version: card for card in CARDS}
LIMITS = dict.fromkeys(KNOWN, 0.2)


def template(user_id: str, subject_id: str, x: float, version: str = "one") -> Template:
    vector, consent = np.array([x, 0], "<f4").tobytes(), Consent("tests", NOW)
    return Template(new_event_id(), user_id, subject_id, version, vector, QUALITY, consent, Source("u", 0, 1), NOW)


def found(*templates: Template) -> list[tuple[str, str, str]]:
    return [(one.user_id, one.subject_id, one.other_subject_id) for one in duplicates_among(templates, KNOWN, LIMITS)]


def test_each_pair_is_found_once() -> None:
    alike = [template("ursula", "b", 0), template("ursula", "a", 0.1), template("ursula", "a", 0.12)]
    assert found(*alike, template("ursula", "c", 5)) == [("ursula", "a", "b")]


def test_users_and_versions_are_not_mixed() -> None:
    assert found(template("ursula", "a", 0), template("otto", "b", 0)) == []
    assert found(template("ursula", "a", 0), template("ursula", "b", 0, "two")) == []
    assert found(template("ursula", "a", 0, "unknown"), template("ursula", "b", 0, "unknown")) == []


def test_several_templates_of_a_subject_are_no_duplicates() -> None:
    assert found(template("ursula", "a", 0), template("ursula", "a", 0)) == []


def test_the_nearest_templates_of_the_version_by_which_they_are_most_alike_are_told() -> None:
    templates = [template("u", "a", 0), template("u", "b", 0.15), template("u", "a", 0.1)]
    others = [template("u", "a", 1, "two"), template("u", "b", 1, "two")]
    [near] = duplicates_among(templates, KNOWN, LIMITS)
    assert (near.model_version, round(near.similarity, 2)) == ("one", 0.95)
    [nearer] = duplicates_among([*templates, *others], KNOWN, LIMITS)
    assert (nearer.similarity, nearer.model_version) == (1.0, "two")
