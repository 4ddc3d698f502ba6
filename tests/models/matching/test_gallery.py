from __future__ import annotations

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from models.matching.gallery import Embedded, Gallery

DIMENSIONS = 4
USERS = st.sampled_from(["ann", "bob"])
SUBJECTS = st.sampled_from(["s0", "s1", "s2", "s3"])
TEMPLATES = st.integers(0, 30).map(lambda number: f"t{number}")
VECTORS = st.lists(st.integers(-8, 8).map(lambda n: n / 4), min_size=DIMENSIONS, max_size=DIMENSIONS)


def vector(values: list[float]) -> np.ndarray:
    return np.array(values, np.float32)


def made(values: list[float] | list[list[float]] | np.ndarray) -> Embedded:
    return Embedded("v", np.array(values, np.float32))


class AgainstADictionary(RuleBasedStateMachine):
    """A gallery answers as a dictionary of everything would."""

    def __init__(self) -> None:
        super().__init__()
        self.gallery = Gallery("v", DIMENSIONS)
        self.model: dict[tuple[str, str], tuple[str, np.ndarray]] = {}

    @rule(user=USERS, subject=SUBJECTS, template=TEMPLATES, values=VECTORS)
    def put(self, user: str, subject: str, template: str, values: list[float]) -> None:
        for _ in range(2):
            self.gallery.put(user, subject, template, made(values))
        self.model[user, template] = subject, vector(values)

    @rule(user=USERS, template=TEMPLATES)
    def discard(self, user: str, template: str) -> None:
        assert self.gallery.discard(user, template) == (self.model.pop((user, template), None) is not None)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def discard_one_that_is_there(self, data: st.DataObject) -> None:
        user, template = data.draw(st.sampled_from(sorted(self.model)))
        self.discard(user, template)

    @rule(user=USERS, probes=st.lists(VECTORS, min_size=1, max_size=3), k=st.integers(1, 5))
    def nearest(self, user: str, probes: list[list[float]], k: int) -> None:
        answers = self.gallery.nearest(user, made(probes), k)
        for probe, answer in zip(probes, answers, strict=True):
            expected = self.distances(user, probe)
            assert [away for _, away in answer] == pytest.approx(sorted(expected.values())[:k], abs=1e-6)
            assert all(away == pytest.approx(expected[subject], abs=1e-6) for subject, away in answer)
            assert len({subject for subject, _ in answer}) == len(answer)

    @rule(user=USERS, subject=SUBJECTS, probes=st.lists(VECTORS, min_size=1, max_size=3))
    def distances_to_one(self, user: str, subject: str, probes: list[list[float]]) -> None:
        found = self.gallery.distances(user, subject, made(probes))
        expected = [self.distances(user, probe).get(subject, np.inf) for probe in probes]
        assert found.tolist() == pytest.approx(expected, abs=1e-6)

    @rule(user=USERS, subject=SUBJECTS, probe=VECTORS)
    def nearest_other(self, user: str, subject: str, probe: list[float]) -> None:
        expected = {name: away for name, away in self.distances(user, probe).items() if name != subject}
        found = self.gallery.nearest_other(user, subject, made(probe))
        assert (found is None) == (not expected)
        if found is not None:
            name, away = found
            assert away == pytest.approx(min(expected.values()), abs=1e-6)
            assert away == pytest.approx(expected[name], abs=1e-6)

    @rule(user=USERS, subject=SUBJECTS, probe=VECTORS)
    def same(self, user: str, subject: str, probe: list[float]) -> None:
        of_subject = {
            name: template
            for (owner, name), (whose, template) in self.model.items()
            if (owner, whose) == (user, subject)
        }
        equal = {name for name, template in of_subject.items() if np.array_equal(template, vector(probe))}
        assert set(self.gallery.same(user, subject, made(probe))) == equal
        groups = self.gallery.copies(user, subject)
        vectors = [{tuple(of_subject[name].tolist()) for name in names} for names in groups]
        assert all(len(one) == 1 for one in vectors), "all of a group are the same"
        copies = sum(len(names) - 1 for names in groups)
        assert len(of_subject) - copies == len({tuple(one.tolist()) for one in of_subject.values()})

    @invariant()
    def counts(self) -> None:
        assert len(self.gallery) == len(self.model)
        assert set(self.gallery.users()) == {user for user, _ in self.model}
        for user in ("ann", "bob"):
            subjects = [subject for (owner, _), (subject, _) in self.model.items() if owner == user]
            assert set(self.gallery.subjects(user)) == set(subjects)
            assert all(self.gallery.templates(user, s) == subjects.count(s) for s in ("s0", "s1", "s2", "s3"))
        assert all(
            self.gallery.has(user, f"t{number}") == ((user, f"t{number}") in self.model)
            for user in ("ann", "bob")
            for number in range(31)
        )

    def distances(self, user: str, probe: list[float]) -> dict[str, float]:
        nearest: dict[str, float] = {}
        for (owner, _), (subject, template) in self.model.items():
            if owner == user:
                away = float(np.linalg.norm(template - vector(probe)))
                nearest[subject] = min(away, nearest.get(subject, np.inf))
        return nearest


TestAgainstADictionary = AgainstADictionary.TestCase
TestAgainstADictionary.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


def test_users_never_see_each_other() -> None:
    gallery = Gallery("v", 2)
    gallery.put("ann", "s", "t", made([1, 0]))
    assert gallery.nearest("bob", made([[1, 0]]), 1) == [[]]
    assert not gallery.discard("bob", "t")
    assert gallery.nearest("ann", made([[1, 0]]), 1) == [[("s", 0.0)]]


def test_the_same_picture_is_at_distance_nought_though_its_vector_is_long() -> None:
    gallery = Gallery("v", 128)
    long = np.random.default_rng(0).normal(0, 100, 128).astype(np.float32)
    gallery.put("u", "s", "t", made(long))
    assert gallery.nearest("u", made(long[None]), 1) == [[("s", 0.0)]]


def test_a_template_of_another_length_is_an_error() -> None:
    with pytest.raises(ValueError, match="t has the shape"):
        Gallery("v", 3).put("u", "s", "t", made([1, 2]))


def test_no_probes_no_answers() -> None:
    gallery = Gallery("v", 2)
    gallery.put("u", "s", "t", made([1, 2]))
    assert gallery.nearest("u", made(np.empty((0, 2))), 3) == []
    assert gallery.distances("u", "s", made(np.empty((0, 2)))).size == 0
