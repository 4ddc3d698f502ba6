"""Rollouts on real services under load, with the digest embedder: an answer from a mixed comparison is an unknown."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from models.testing.digest import CARD
from schemas.rollout import GivenUpSubject, ModelState
from sinks.redis.results import RedisResults
from streams.client.producer import Producer
from streams.devtools.benchmarks.load import Load
from streams.devtools.benchmarks.rollout import add_version, over_and_back, uploads
from streams.devtools.local_stack import Stack
from streams.model_registry import records, transitions
from streams.model_registry.errors import RolloutError
from streams.operations.erase import erase
from streams.operations.subjects import enrolled_subjects, subjects_to_enrol_again
from streams.roles import Embedder
from streams.rollout import retirement
from streams.rollout.backfill import backfill
from streams.rollout.controller import Pace, RolloutOutcome, run_rollout
from streams.rollout.gates import Gates
from streams.settings import Settings


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("rollout"), print, partitions=4, live_stream_length=10**6) as running:
        running.add_workers(Embedder.DIGEST)
        yield running


@pytest.fixture
def settings(stack: Stack) -> Settings:
    return stack.settings


def test_over_and_back_under_load_nobody_notices(stack: Stack) -> None:
    seen = over_and_back(stack, events_per_s=40, hold_s=3, say=print)
    assert (seen["lost"], seen["duplicates"], seen["wrong"], seen["flips"]) == (0, 0, 0, 0), seen
    assert seen["answered_by"].keys() == {"digest", "digest-2"}
    assert min(seen["answered_by"].values()) > 50


def automatic(settings: Settings, version: str, **changes: object) -> RolloutOutcome:
    card = CARD.model_copy(update={"version": version} | changes)
    add_version(settings, card)

    def make_templates() -> None:
        backfill(settings, version, [uploads(settings, version)])

    # How fast a machine that also runs other tests answers says nothing of a version; test_gates tests that gate.
    gates = Gates(p99_floor_ms=60_000.0)
    with Load(settings, 40, version):
        return run_rollout(settings, card, make_templates, Pace(percents=(25,), hold_s=3, min_frames=100, gates=gates))


def test_by_itself_into_production(settings: Settings) -> None:
    ended = automatic(settings, "digest-3")
    assert (ended.record.state, ended.violations) == (ModelState.PRODUCTION, [])
    assert ended.seen is not None
    assert ended.seen.disagreement == 0
    assert records.read_registry(settings, "digest").production == "digest-3"


def test_by_itself_back_when_it_is_worse(settings: Settings) -> None:
    before = records.read_registry(settings, "digest").production
    ended = automatic(settings, "digest-4", thresholds={"equal": -1.0})  # which nothing passes
    assert ended.record.state is ModelState.CANDIDATE
    assert any("disagrees with" in one for one in ended.violations)
    assert "disagrees with" in ended.record.reason
    assert records.read_registry(settings, "digest").production == before


def test_who_has_no_photos_left_holds_up_a_retirement(settings: Settings) -> None:
    old_version = records.read_registry(settings, "digest").production
    old, new = (CARD.model_copy(update={"version": version}) for version in (old_version, "digest-5"))
    add_version(settings, new)
    with closing(Producer(settings, check_format=False)) as producer:

        def enrol(subject: str, picture: bytes) -> None:
            sent = producer.enrol("nora", picture * 9, consent="tests", subject_id=subject)
            with closing(RedisResults(settings.redis_url)) as results:
                assert results.wait_for([sent.event_id], 60.0)

        enrol("again", b"a photo that is not kept")
        enrol("never", b"another photo that is not kept")
        records.apply(settings, lambda registry: transitions.shadow(registry, new))
        filled = backfill(settings, new.version, [])  # as if neither photos nor faces were kept
        assert "nora" in filled.stragglers
        assert filled.left_behind["nora"] == ["again", "never"]
        records.apply(settings, lambda registry: transitions.promote(registry, new))
        enrol("again", b"a new photo")
        with pytest.raises(RolloutError, match=r"templates of digest(-3)? only .*Nothing was retired"):
            retirement.retire(settings, old)
        record, lost = retirement.retire(settings, old, force=True)
        assert lost.by_user["nora"] == ["never"], "who has enrolled again only loses a photo"
        assert GivenUpSubject("nora", "never") in record.given_up

        enrol("third", b"a photo, with which match removes the retired templates")

        def to_enrol_again() -> list[str]:
            enrolled = enrolled_subjects(settings, "nora")
            return [one.subject_id for one in subjects_to_enrol_again(settings, enrolled, "nora")]

        deadline = time.monotonic() + 60
        while to_enrol_again() != ["never"]:
            assert time.monotonic() < deadline
            time.sleep(0.5)
        enrol("never", b"a late photo")
        assert to_enrol_again() == []
    assert erase(settings, "nora").removed["models"] == {"names": 1}
    forgetful = records.read_registry(settings, "digest").record(old.version)
    assert forgetful is not None
    assert not any(one.user_id == "nora" for one in forgetful.given_up)


def test_a_version_that_is_not_being_rolled_out_is_not_filled(settings: Settings) -> None:
    with pytest.raises(RolloutError, match="facestream models shadow digest-9"):
        backfill(settings, "digest-9", [])
