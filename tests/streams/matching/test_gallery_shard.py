"""What a shard tells of templates whose consent has ended."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from schemas import codec
from schemas.gallery import Template
from schemas.ids import new_event_id
from schemas.ingest import Consent
from schemas.parts import Source
from streams.matching.consent_ends import TemplateKey
from streams.matching.gallery_shard import GalleryShard, load, template_key
from tests.calls import calls
from tests.sinks.examples import QUALITY

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def template(**consent: datetime) -> Template:
    agreed = dataclasses.replace(Consent("tests", NOW), **consent)  # type: ignore[arg-type]
    vector = np.zeros(4, "<f4").tobytes()
    return Template(new_event_id(), "anna", "anna", "some", vector, QUALITY, agreed, Source("uploads", 0, 1), NOW)


def key(one: Template) -> TemplateKey:
    return one.user_id, one.template_id, one.model_version


def test_who_has_withdrawn_matches_no_more_and_is_told_of_until_that_was_delivered() -> None:
    shard, short, long = GalleryShard(), template(expires_at=NOW), template(expires_at=NOW + timedelta(days=1))
    for one in (short, long, template()):
        shard.add(one)
    assert shard.expired(NOW - timedelta(seconds=1)) == []
    assert shard.expired(NOW) == [key(short)]
    assert shard.size.templates == len(shard) == 2
    assert shard.expired(NOW) == [key(short)], "its delivery failed, so it is tried again"
    shard.forget_expired()
    assert shard.expired(NOW) == []
    assert shard.expired(NOW + timedelta(days=1)) == [key(long)]


def test_who_is_erased_leaves_nothing_behind() -> None:
    shard = GalleryShard()
    otto, anna = template(expires_at=NOW), template(expires_at=NOW)
    otto = dataclasses.replace(otto, subject_id="otto")
    for one in (otto, dataclasses.replace(otto, model_version="other"), anna):
        shard.add(one)
    assert shard.of("anna", "otto") == [(otto.template_id, "some"), (otto.template_id, "other")]
    assert len(shard.of("anna", None)) == 3
    shard.erase("anna", shard.of("anna", "otto"))
    assert shard.of("anna", None) == [(anna.template_id, "some")]
    assert shard.expired(NOW) == [key(anna)], "nor is the end of the consent remembered"


def test_the_same_template_twice_ends_once() -> None:
    shard, one = GalleryShard(), template(expires_at=NOW)
    again = dataclasses.replace(one, vector=np.ones(4, "<f4").tobytes())
    for each in (one, template(expires_at=NOW), again):
        shard.add(each)
    assert len(shard) == 2
    ended = shard.expired(NOW)
    assert len(set(ended)) == len(ended) == 2
    assert len(shard) == 0


IDS = [f"t{number}" for number in range(6)]


class AgainstASet(RuleBasedStateMachine):
    """A shard counts and completes as a set of all templates would; consents end in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.shard = GalleryShard()
        self.model: dict[TemplateKey, tuple[str, datetime | None]] = {}
        self.now = NOW

    @rule(
        user=st.sampled_from("ab"),
        subject=st.sampled_from("xy"),
        template_id=st.sampled_from(IDS),
        version=st.sampled_from(["one", "two", "three"]),
        steps=st.none() | st.integers(-5, 9) | st.integers(1, 300),
    )
    def add(self, user: str, subject: str, template_id: str, version: str, steps: int | None) -> None:
        ends = None if steps is None else self.now + timedelta(seconds=17 * steps)
        vector = np.zeros(2, "<f4").tobytes()
        agreed = Consent("tests", NOW, expires_at=ends)
        source = Source("uploads", 0, 1)
        self.shard.add(Template(template_id, user, subject, version, vector, QUALITY, agreed, source, NOW))
        self.model[user, template_id, version] = subject, ends

    @rule(user=st.sampled_from("ab"), template_id=st.sampled_from(IDS), version=st.sampled_from(["one", "two"]))
    def discard(self, user: str, template_id: str, version: str) -> None:
        self.shard.discard(user, template_id, version)
        self.model.pop((user, template_id, version), None)

    @rule(user=st.sampled_from("ab"), subject=st.none() | st.sampled_from("xy"))
    def erase(self, user: str, subject: str | None) -> None:
        found = self.shard.of(user, subject)
        expected = {one for one, (whose, _) in self.model.items() if one[0] == user and subject in (None, whose)}
        assert sorted((user, *one) for one in found) == sorted(expected)
        self.shard.erase(user, found)
        for one in expected:
            del self.model[one]

    @rule(steps=st.integers(-3, 4) | st.integers(-50, 200))
    def time_passes(self, steps: int) -> None:
        self.now += timedelta(seconds=17 * steps)
        due = {one for one, (_, ends) in self.model.items() if ends is not None and ends <= self.now}
        assert set(self.shard.expired(self.now)) == due
        self.shard.forget_expired()
        for one in due:
            del self.model[one]

    @invariant()
    def counts(self) -> None:
        by_version: dict[str, list[TemplateKey]] = {}
        for one in self.model:
            by_version.setdefault(one[2], []).append(one)
        assert set(self.shard.versions) == set(by_version)
        most = max(map(len, by_version.values()), default=0)
        assert self.shard.size.templates == most
        users = [len({one[0] for one in keys}) for keys in by_version.values() if len(keys) == most]
        assert self.shard.size.users in (users or [0])
        for user in "ab":
            every = {one[1] for one in self.model if one[0] == user}
            for version in ("one", "two", "three", "unknown"):
                own = {one[1] for one in self.model if (one[0], one[2]) == (user, version)}
                assert self.shard.is_complete(user, version) == (own == every)


TestAgainstASet = AgainstASet.TestCase
TestAgainstASet.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


def test_what_concerns_one_subject_costs_the_same_in_a_shard_of_any_size() -> None:
    """Counts calls, since times depend on the machine."""
    shard, counts = GalleryShard(), []
    vector = np.zeros(2, "<f4").tobytes()

    def one(number: int, version: str) -> Template:
        agreed = Consent("tests", NOW, expires_at=NOW + timedelta(minutes=number))
        source = Source("uploads", 0, 1)
        name = f"s{number // 2}"
        return Template(str(UUID(int=number)), "anna", name, version, vector, QUALITY, agreed, source, NOW)

    for number in range(5_000):
        for version in ("one", "two"):
            shard.add(one(number, version))
        if number in (499, 4_999):
            last = f"s{number // 2}"

            def work(last: str = last, number: int = number) -> None:
                shard.is_complete("anna", "two")
                shard.erase("anna", shard.of("anna", last))
                shard.add(one(number, "one"))
                shard.expired(NOW - timedelta(hours=1))

            counts.append(calls(work))
    assert counts[1] <= 1.5 * counts[0]


def test_loading_a_shard_costs_few_calls_a_template() -> None:
    class Table:
        def entries(self, partition: int) -> Iterator[tuple[bytes, bytes]]:
            return iter(stored)

    templates = [dataclasses.replace(template(), subject_id=f"s{number}") for number in range(3_000)]
    stored = [(template_key(one), codec.encode(one)) for one in templates]
    shards: list[GalleryShard] = []
    load(Table(), 0)
    assert calls(lambda: shards.append(load(Table(), 0)[0])) <= 60 * len(stored)
    assert sorted(shards[0].of("anna", None)) == sorted((one.template_id, "some") for one in templates)


def test_a_template_whose_consent_was_given_anew_stays() -> None:
    shard, short = GalleryShard(), template(expires_at=NOW)
    shard.add(short)
    shard.add(dataclasses.replace(short, consent=dataclasses.replace(short.consent, expires_at=None)))
    assert shard.expired(NOW) == []
    assert len(shard) == 1
