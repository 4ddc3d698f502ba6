from __future__ import annotations

import tempfile
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from models.matching import gallery as gallery_module
from models.matching import many_templates, row_index
from models.matching.codings import Halved
from models.matching.gallery import Embedded, Gallery
from tests.calls import calls

DIMENSIONS = 4
USERS = st.sampled_from(["ann", "bob"])
SUBJECTS = st.sampled_from(["s0", "s1", "s2", "s3"])
IDS = [f"t{number}" if number % 2 else str(UUID(int=number << 90 | number)) for number in range(31)]
TEMPLATES = st.sampled_from(IDS)
VECTORS = st.lists(st.integers(-8, 8).map(lambda n: n / 4), min_size=DIMENSIONS, max_size=DIMENSIONS)


def vector(values: list[float]) -> np.ndarray:
    return np.array(values, np.float32)


def made(values: list[float] | list[list[float]] | np.ndarray) -> Embedded:
    return Embedded("v", np.array(values, np.float32))


class AgainstADictionary(RuleBasedStateMachine):
    """A gallery answers as a dictionary of everything would."""

    folder: Path | None = None

    def __init__(self) -> None:
        super().__init__()
        self.gallery = Gallery("v", DIMENSIONS, self.folder)
        self.model: dict[tuple[str, str], tuple[str, np.ndarray]] = {}

    @rule(user=USERS, subject=SUBJECTS, template=TEMPLATES, values=VECTORS)
    def put(self, user: str, subject: str, template: str, values: list[float]) -> None:
        for _ in range(2):
            self.gallery.put(user, subject, template, made(values))
        self.model[user, template] = subject, vector(values)

    @rule(user=USERS, rows=st.dictionaries(TEMPLATES, st.tuples(SUBJECTS, VECTORS), max_size=25))
    def fill(self, user: str, rows: dict[str, tuple[str, list[float]]]) -> None:
        new = {name: one for name, one in rows.items() if (user, name) not in self.model}
        names = [(subject, name) for name, (subject, _) in new.items()]
        vectors = np.array([values for _, values in new.values()], np.float32).reshape(-1, DIMENSIONS)
        self.gallery.fill(user, names, made(vectors))
        for name, (subject, values) in new.items():
            self.model[user, name] = subject, vector(values)

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
            assert answer == nearest_first(self.distances(user, probe))[:k]

    @rule(user=USERS, subject=SUBJECTS, probes=st.lists(VECTORS, min_size=1, max_size=3))
    def distances_to_one(self, user: str, subject: str, probes: list[list[float]]) -> None:
        found = self.gallery.distances(user, subject, made(probes))
        expected = [self.distances(user, probe).get(subject, np.inf) for probe in probes]
        assert found.tolist() == pytest.approx(expected, abs=1e-6)

    @rule(user=USERS, subject=SUBJECTS, probe=VECTORS)
    def nearest_other(self, user: str, subject: str, probe: list[float]) -> None:
        expected = {name: away for name, away in self.distances(user, probe).items() if name != subject}
        found = self.gallery.nearest_other(user, subject, made(probe))
        assert found == next(iter(nearest_first(expected)), None)

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
        assert self.gallery.user_count == len(self.gallery.users())
        assert sorted(self.gallery.ids()) == sorted(self.model)
        for user in ("ann", "bob"):
            subjects = [subject for (owner, _), (subject, _) in self.model.items() if owner == user]
            assert sorted(self.gallery.subjects(user)) == sorted(set(subjects))
            assert self.gallery.count(user) == len(subjects)
            assert sorted(self.gallery.of(user, None)) == sorted(name for owner, name in self.model if owner == user)
            for s in ("s0", "s1", "s2", "s3"):
                own = [name for (owner, name), (subject, _) in self.model.items() if (owner, subject) == (user, s)]
                assert self.gallery.templates(user, s) == subjects.count(s) == len(own)
                assert sorted(self.gallery.of(user, s)) == sorted(own)
        assert all(
            self.gallery.has(user, name) == ((user, name) in self.model) for user in ("ann", "bob") for name in IDS
        )

    @precondition(lambda self: self.model)
    @rule(user=USERS, subject=SUBJECTS)
    def erase(self, user: str, subject: str) -> None:
        for template in self.gallery.of(user, subject):
            self.discard(user, template)
        assert self.gallery.of(user, subject) == []

    def distances(self, user: str, probe: list[float]) -> dict[str, float]:
        nearest: dict[str, float] = {}
        for (owner, _), (subject, template) in self.model.items():
            if owner == user:
                away = float(np.sqrt(((template - vector(probe)) ** 2).sum()))
                nearest[subject] = min(away, nearest.get(subject, np.inf))
        return nearest


class ManyAgainstADictionary(AgainstADictionary):
    """The same where three templates of a user are many, in blocks of twelve, with buckets of two ids."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(gallery_module, "FEW", 2)
        self.patch.setattr(many_templates, "BLOCK", 12)
        self.patch.setattr(many_templates, "SMALL", 9)
        self.patch.setattr(row_index, "MEAN", 2)
        self.patch.setattr(row_index, "FEWEST", 1)

    def teardown(self) -> None:
        self.patch.undo()


class CompactAgainstADictionary(ManyAgainstADictionary):
    """The same with codes in memory and vectors in a file."""

    folder = Path(tempfile.gettempdir())


TestAgainstADictionary = AgainstADictionary.TestCase
TestAgainstADictionary.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)

TestManyAgainstADictionary = ManyAgainstADictionary.TestCase
TestManyAgainstADictionary.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)

TestCompactAgainstADictionary = CompactAgainstADictionary.TestCase
TestCompactAgainstADictionary.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)


def nearest_first(away: dict[str, float]) -> list[tuple[str, float]]:
    return sorted(away.items(), key=lambda one: (one[1], one[0]))


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
    with pytest.raises(ValueError, match="templates have the shape"):
        Gallery("v", 3).fill("u", [("s", "t")], made([[1, 2]]))


def test_no_probes_no_answers() -> None:
    gallery = Gallery("v", 2)
    gallery.put("u", "s", "t", made([1, 2]))
    assert gallery.nearest("u", made(np.empty((0, 2))), 3) == []
    assert gallery.distances("u", "s", made(np.empty((0, 2)))).size == 0


@pytest.mark.parametrize("is_compact", [False, True], ids=["all in memory", "compact"])
@given(
    templates=st.integers(60, 500),
    subjects=st.integers(1, 300),
    spread=st.sampled_from([0.0, 1e-8, 1e-7, 1e-6, 1e-4, 1.0]),
    longest=st.sampled_from([1.0, 30.0]),
    k=st.integers(1, 12),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=150, deadline=None)
def test_a_search_gives_what_comparing_all_gives_to_the_last_bit(
    is_compact: bool, templates: int, subjects: int, spread: float, longest: float, k: int, seed: int
) -> None:
    """Vectors so close together that only the order of roundings tells them apart; many of them are equal."""
    random = np.random.default_rng(seed)
    centre = random.normal(size=32)
    vectors = (centre + spread * random.normal(size=(templates, 32))) / np.linalg.norm(centre)
    vectors = (vectors * random.uniform(1, longest, (templates, 1))).astype(np.float32)
    vectors[random.integers(0, templates, templates // 4)] = vectors[0]
    names = [f"s{number}" for number in random.integers(0, subjects, templates)]
    gallery = Gallery("v", 32, Path(tempfile.gettempdir()) if is_compact else None)
    probes = np.concatenate((vectors[:3] + spread * random.normal(size=(3, 32)).astype(np.float32), vectors[:1]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(many_templates, "BLOCK", 70)
        patch.setattr(many_templates, "SMALL", 69)
        for number, (name, template) in enumerate(zip(names, vectors, strict=True)):
            gallery.put("u", name, str(UUID(int=number)), made(template))
        answers = gallery.nearest("u", made(probes), k)
        alone = [gallery.nearest("u", made(probe[None]), k)[0] for probe in probes]
    assert alone == answers, "alone a probe is answered as beside others"
    for probe, answer in zip(probes, answers, strict=True):
        gaps = vectors - probe
        away = np.sqrt(np.einsum("ij,ij->i", gaps, gaps)).tolist()
        nearest: dict[str, float] = {}
        for name, distance in zip(names, away, strict=True):
            nearest[name] = min(distance, nearest.get(name, np.inf))
        assert answer == nearest_first(nearest)[:k]


@pytest.mark.parametrize("name", ["", "ÿ", "\x00", "\n", "名前", "e\u0301", "\ud800", "x" * 5000])
@pytest.mark.parametrize("templates", [3, 100])
def test_any_name_is_kept_as_it_is(name: str, templates: int) -> None:
    gallery = Gallery("v", 2)
    for number in range(templates):
        gallery.put("u", f"{number}{name}", f"{number}{name}", made([number, 1]))
    gallery.put("u", name, name, made([-1, 1]))
    assert gallery.nearest("u", made([[-1, 1]]), 1) == [[(name, 0.0)]]
    assert gallery.of("u", name) == [name]
    assert set(gallery.subjects("u")) == {name, *(f"{number}{name}" for number in range(templates))}
    assert gallery.discard("u", name)
    assert gallery.count("u") == templates


def test_an_erased_vector_is_nowhere_in_memory() -> None:
    gallery = Gallery("v", 2)
    for number in range(100):
        gallery.put("u", f"s{number}", f"t{number}", made([number, 1]))
    gallery.discard("u", "t99")
    gallery.discard("u", "t5")
    [block] = gallery._users["u"]._blocks
    rows = Halved().decoded(block._coded)[:, 0].tolist()
    assert set(rows[: block.count]) == set(range(99)) - {5}
    assert not set(rows[block.count :]) & {99.0, 98.0, 5.0}


def test_a_change_costs_the_same_in_a_gallery_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts calls and copied rows, since times depend on the machine."""
    copied: list[int] = []
    resize = many_templates._Block._resize

    def counted(block: many_templates._Block, rows: int) -> None:
        copied.append(block.count)
        resize(block, rows)

    monkeypatch.setattr(many_templates._Block, "_resize", counted)
    monkeypatch.setattr(many_templates, "BLOCK", 2048)
    monkeypatch.setattr(many_templates, "SMALL", 512)
    gallery = Gallery("v", 2)
    calls_at, largest = {}, 0
    for number in range(20_000):
        moved = sum(copied)
        gallery.put("u", f"s{number // 4}", str(UUID(int=number)), made([number, 1]))
        largest = max(largest, sum(copied) - moved)
        if number in (1_000, 19_999):
            calls_at[number] = most_calls(gallery, number)
    assert largest <= 512, "no more than a small block is copied at once"
    assert sum(copied) <= 10 * 20_000
    index = gallery._users["u"]._by_id
    assert index.moved <= 2 * 20_000
    assert max(map(len, index._buckets)) <= 8 * 4 * row_index.MEAN, "a bucket that is split is small"
    assert calls_at[19_999] <= 1.5 * calls_at[1_000]


def most_calls(gallery: Gallery, last: int) -> int:
    """The most calls of functions that one of several operations on one subject makes."""
    own = [f"s{number}" for number in range(0, last // 4, last // 40)]
    counts = []
    for subject in own:
        asked = (gallery.of, gallery.templates, gallery.copies)
        counts += [calls(lambda ask=ask, subject=subject: ask("u", subject)) for ask in asked]
        [first, *_] = gallery.of("u", subject)
        counts.append(calls(lambda first=first: gallery.discard("u", first)))
        counts.append(calls(lambda subject=subject, first=first: gallery.put("u", subject, first, made([1, 1]))))
    return max(counts)
