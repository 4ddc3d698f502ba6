"""A search over everybody in shards is one search over everything."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.matching.decision import Probes
from models.matching.gallery import Embedded
from models.matching.merging import merged
from models.matching.search import search
from models.matching.searchable import SearchableTemplates
from schemas import codec
from schemas.embeddings import Face
from schemas.parts import Decision
from schemas.reasons import Reason
from schemas.results import Match, SearchCoverage
from tests.sinks.examples import BOX, NOW, QUALITY, match
from tests.streams.matching.galleries import card

CARD = card("one")
THRESHOLD = 0.6
POINTS = st.tuples(*[st.integers(-3, 3).map(lambda n: n / 4)] * 2)
"""So few places that many templates are equally far away."""


class Person(NamedTuple):
    user: str
    subject: str
    at: tuple[float, float]


PEOPLE = st.lists(
    st.builds(Person, st.sampled_from(["ann", "bob", "ann b", "zoë"]), st.sampled_from(["s", "s0", "s1", "t"]), POINTS),
    max_size=40,
)


def face(at: tuple[float, float] | None) -> Face:
    vector = None if at is None else np.array(at, "<f4").tobytes()
    return Face(BOX, [0.0] * 10, QUALITY, None if at else "too_small", vector)


def picture(*places: tuple[float, float] | None) -> Probes:
    faces = [face(at) for at in places]
    return Probes("one", faces, [one.vector for one in faces])


def templates_of(people: Sequence[Person], names: Sequence[str] | None = None) -> SearchableTemplates:
    """Side by side; the names of the templates are unique for a user."""
    made = SearchableTemplates()
    for number, one in enumerate(people):
        name = str(UUID(int=number)) if names is None else names[number]
        made.fill(one.user, [(one.subject, name)], Embedded("one", np.array([one.at], np.float32)))
    return made


def part(people: Sequence[Person], shard: int, shards: int, asked: Probes, candidates: int) -> Match:
    """What a shard answers, as it arrives at the merger."""
    templates = templates_of(people)
    [faces] = search([asked], templates, CARD, threshold=THRESHOLD, candidates=candidates)
    at = NOW + timedelta(seconds=shard)
    covered = SearchCoverage(shards, [shard], templates.count("one"), NOW)
    answer = match(event_id=str(UUID(int=1)), faces=faces, matched_at=at, search=covered)
    return codec.decode(codec.encode(answer), Match)


def brute_force(people: Sequence[Person], at: tuple[float, float]) -> list[tuple[float, str, str]]:
    """All subjects with the distance of the nearest template, nearest first."""
    nearest: dict[tuple[str, str], float] = {}
    for one in people:
        away = float(np.float32(np.hypot(one.at[0] - at[0], one.at[1] - at[1])))
        nearest[one.user, one.subject] = min(away, nearest.get((one.user, one.subject), away))
    return sorted((away, *name) for name, away in nearest.items())


@given(people=PEOPLE, places=st.lists(POINTS, min_size=1, max_size=3), shards=st.integers(1, 6), data=st.data())
def test_the_merged_answers_of_all_shards_are_one_search_over_everything(
    people: list[Person], places: list[tuple[float, float]], shards: int, data: st.DataObject
) -> None:
    candidates = data.draw(st.integers(1, 5))
    users = sorted({one.user for one in people})
    placed = {user: data.draw(st.integers(0, shards - 1)) for user in users}
    asked = picture(*places)
    parts = [
        part([one for one in people if placed[one.user] == shard], shard, shards, asked, candidates)
        for shard in range(shards)
    ]
    repeated = data.draw(st.lists(st.sampled_from(parts), max_size=3))
    answer = merged(data.draw(st.permutations([*parts, *repeated])), candidates)
    for at, answered in zip(places, answer.faces, strict=True):
        expected = brute_force(people, at)
        near = [one for one in expected if one[0] < THRESHOLD]
        assert [(one.distance, one.user_id, one.subject_id) for one in answered.candidates] == expected[:candidates]
        assert answered.decision is (Decision.MATCH if near else Decision.UNKNOWN)
        assert (answered.user_id, answered.subject_id) == (near[0][1:] if near else (None, None))
        assert answered.ambiguous == (len(near) > 1)
        assert answered.reason == (None if people else Reason.EMPTY_GALLERY)
    assert answer.search == SearchCoverage(shards, list(range(shards)), len(people), NOW)
    assert answer.matched_at == NOW + timedelta(seconds=shards - 1)


def test_an_answer_without_a_shard_says_so() -> None:
    people = [Person("ann", "s", (0, 0)), Person("bob", "s", (1, 0))]
    parts = [part(people[:1], 0, 3, picture((0, 0)), 5), part(people[1:], 2, 3, picture((0, 0)), 5)]
    answer = merged(parts, 5)
    assert answer.search == SearchCoverage(3, [0, 2], 2, NOW)
    assert [one.user_id for one in answer.faces[0].candidates] == ["ann", "bob"]


def test_the_first_answer_of_a_shard_counts() -> None:
    first = part([Person("ann", "s", (0, 0))], 0, 1, picture((0, 0)), 5)
    later = dataclasses.replace(first, faces=[dataclasses.replace(first.faces[0], candidates=[])])
    assert merged([first, later], 5).faces == first.faces


def test_a_refused_face_stays_refused_and_keeps_its_place() -> None:
    people = [Person("ann", "s", (0, 0))]
    answer = merged([part(people, 0, 2, picture(None, (0, 0)), 5), part([], 1, 2, picture(None, (0, 0)), 5)], 5)
    assert [(one.decision, one.reason) for one in answer.faces] == [
        (Decision.REFUSED, "too_small"),
        (Decision.MATCH, None),
    ]


def test_pictures_are_searched_for_together() -> None:
    templates = templates_of([Person("ann", "s", (0, 0)), Person("bob", "t", (1, 1))])
    asked: list[Any] = [picture((0, 0), None), picture(), picture((1, 1))]
    answers = search(asked, templates, CARD, threshold=THRESHOLD, candidates=1)
    assert [[one.subject_id for one in faces] for faces in answers] == [["s", None], [], ["t"]]


@given(people=PEOPLE, data=st.data())
def test_what_is_removed_is_not_found(people: list[Person], data: st.DataObject) -> None:
    names = [str(UUID(int=number % 7)) for number in range(len(people))]
    unique = list({(one.user, name): (one, name) for one, name in zip(people, names, strict=True)}.values())
    templates = templates_of([one for one, _ in unique], [name for _, name in unique])
    gone = data.draw(st.lists(st.sampled_from(unique), unique=True)) if unique else []
    for one, name in gone:
        templates.discard(one.user, name, "one")
        templates.discard(one.user, name, "two")
        templates.discard(one.user, name, "one")
    left = [one for one, name in unique if (one, name) not in gone]
    [found] = templates.nearest(Embedded("one", np.zeros((1, 2), np.float32)), 99)
    assert [tuple(one) for one in found] == brute_force(left, (0, 0))
    assert templates.count("one") == len(left)
    assert templates.nearest(Embedded("two", np.zeros((2, 2), np.float32)), 3) == [[], []]
