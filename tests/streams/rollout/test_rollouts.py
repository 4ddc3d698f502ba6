"""Rollouts on real services under load, with the digest embedder: an answer from a mixed comparison is an unknown."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from models.testing.digest import CARD
from schemas.rollout import ModelState
from streams.devtools.benchmarks.load import Load
from streams.devtools.benchmarks.rollout import add_version, over_and_back, uploads
from streams.devtools.local_stack import Stack
from streams.model_registry import records
from streams.model_registry.errors import RolloutError
from streams.roles import Embedder
from streams.rollout.backfill import backfill
from streams.rollout.controller import Pace, RolloutOutcome, run_rollout
from streams.rollout.gates import Gates
from streams.settings import Settings
from tests.prepared_tables import with_tables


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = with_tables(tmp_path_factory.mktemp("rollout"))
    with Stack(folder, print, partitions=4, live_stream_length=10**6) as running:
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


def test_a_version_that_is_not_being_rolled_out_is_not_filled(settings: Settings) -> None:
    with pytest.raises(RolloutError, match="facestream models shadow digest-9"):
        backfill(settings, "digest-9", [])
