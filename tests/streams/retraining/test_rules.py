"""What needs no service: ticks, conditions, and which record of a run counts."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.training.gate import Rules
from models.training.sides import Sides
from schemas.learning import RunState, TrainingRun
from streams.retraining import cron
from streams.retraining.policy import TrainableFaces, TrainingMinimum, decide
from streams.retraining.run_log import ENDED, counts
from streams.settings import Settings

NOW = datetime(2026, 3, 29, 3, 0, tzinfo=UTC)
WANTED = TrainingMinimum(people=12, new_people=5, new_faces=100, interval_h=20)


@pytest.mark.parametrize("late_s", [-0.3, 0, 0.2, 59, 3600 * 23])
def test_a_timer_that_wakes_a_little_early_or_late_finds_its_tick(late_s: float) -> None:
    assert cron.tick("0 3 * * *", NOW + timedelta(seconds=late_s)) == NOW
    assert cron.run_id(NOW) == "20260329-030000"


def test_a_tick_before_is_another_run() -> None:
    assert cron.tick("0 3 * * *", NOW - timedelta(seconds=2)) == NOW - timedelta(days=1)


@pytest.mark.parametrize("expression", ["", "soon", "61 * * * *", "0 3 * *"])
def test_what_is_no_cron_expression_is_refused(expression: str) -> None:
    with pytest.raises(cron.UnusableSchedule, match="FACESTREAM_RETRAIN_SCHEDULE"):
        cron.check(expression)


@pytest.mark.parametrize(
    ("counted", "train", "reason"),
    [
        (TrainableFaces(12, 40, 12, 40), True, "12 new people"),
        (TrainableFaces(12, 400, 0, 100), True, "100 new faces"),
        (TrainableFaces(11, 400, 11, 400), False, "11 people, fewer than 12"),
        (TrainableFaces(50, 400, 4, 99, 24.0), False, "4 new people, fewer than 5; 99 new faces, fewer than 100"),
        (TrainableFaces(50, 400, 50, 400, 19.5), False, "19.5 hours since the last training, fewer than 20"),
        (TrainableFaces(50, 400, 0, 1, 24.0, ["camera door: the faces look otherwise"]), True, "camera door"),
        (TrainableFaces(50, 400, 0, 0, 24.0, ["camera door: the faces look otherwise"]), False, "0 new people"),
        (TrainableFaces(2, 4, 0, 0, 24.0, ["camera door: the faces look otherwise"]), False, "2 people"),
    ],
)
def test_conditions(counted: TrainableFaces, train: bool, reason: str) -> None:
    decision = decide(counted, WANTED)
    assert (decision.train, reason in decision.reason) == (train, True)
    assert {one.name for one in decision.conditions} >= {"people", "new people", "new faces"}


def test_no_version_is_trained_that_the_gate_would_refuse() -> None:
    gate, settings = Rules(), Settings()
    assert settings.retrain_min_people == gate.people_in_all
    wanted = TrainingMinimum.of(settings)
    people = [f"anna/{number}" for number in range(20)]
    few, enough = Sides.of(people), Sides.of(4 * people)
    assert (enough.learned_people >= gate.people, enough.measured_people >= gate.people_tested) == (True, True)
    assert decide(TrainableFaces(20, 80, 20, 80, sides=enough), wanted).train
    refused = decide(TrainableFaces(20, 20, 20, 20, sides=few), wanted)
    assert (refused.train, refused.reason) == (
        False,
        f"{few.learned_faces} faces of people to train on, fewer than {gate.chips}",
    )
    none_measured = replace(enough, measured_people=3)
    refused = decide(TrainableFaces(20, 80, 20, 80, sides=none_measured), wanted)
    assert (refused.train, refused.reason) == (False, "3 people to measure on, fewer than 4")
    trial = TrainingMinimum.of(Settings(retrain_min_people=12))
    assert decide(TrainableFaces(12, 12, 12, 12), trial).train, "settings that ask for less than the gate get it"


def record(claim_id: str, state: RunState = RunState.WAITING, **changes: Any) -> TrainingRun:
    empty: dict[str, Any] = {"conditions": [], "until": [], "people": 0, "faces": 0, "attempt": 1}
    who = {"worker": claim_id, "host": "here", "heartbeat_at": NOW, "claimed_at": NOW, "due_at": NOW}
    return TrainingRun(run_id="r", state=state, reason="", claim_id=claim_id, **empty | who | changes)


def test_the_first_claim_has_the_run_and_its_offset_is_the_token() -> None:
    first = counts(None, record("a"), 5)
    assert first is not None
    assert first.token == 5
    assert counts(first, record("b"), 6) is None


def test_of_two_that_take_over_the_first_does_and_the_old_token_counts_no_more() -> None:
    held = record("a", RunState.RUNNING, token=5)
    taken = counts(held, record("b", takes_over=5), 9)
    assert taken is not None
    assert (taken.claim_id, taken.token) == ("b", 9)
    assert counts(taken, record("c", takes_over=5), 10) is None
    assert counts(taken, record("a", RunState.FINISHED, token=5, version="v"), 11) is None
    assert counts(taken, record("b", RunState.FINISHED, token=9, version="w"), 12) is not None


def test_what_has_ended_stays_as_it_is_but_may_be_written_again() -> None:
    ended = record("a", RunState.FINISHED, token=5, version="v")
    for late in (record("b"), record("b", takes_over=5), record("a", RunState.RUNNING, token=5)):
        assert counts(ended, late, 20) is None
    assert counts(ended, ended, 21) == ended


def test_what_compaction_leaves_is_enough() -> None:
    held = record("b", RunState.RUNNING, token=9)
    assert counts(None, held, 40) == held


STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["claim", "take", "beat", "end", "stall"])), min_size=1, max_size=40
)


@given(STEPS)
def test_whoever_does_what_one_worker_at_most_ends_a_run(steps: list[tuple[int, str]]) -> None:
    """Workers act on what they knew when they last looked, which may be long ago."""
    known: TrainingRun | None = None
    mine: dict[int, TrainingRun | None] = dict.fromkeys(range(3))
    ended_by = set()
    for offset, (who, what) in enumerate(steps):
        seen = mine[who]
        if what == "stall":
            mine[who] = known
            continue
        if what == "claim":
            new = record(str(uuid.uuid4()), worker=str(who))
        elif seen is None or seen.token is None:
            continue
        elif what == "take":
            new = record(str(uuid.uuid4()), worker=str(who), takes_over=seen.token)
        elif seen.worker != str(who):
            continue
        else:
            new = replace(seen, state=RunState.RUNNING if what == "beat" else RunState.FINISHED)
        counted = counts(known, new, offset)
        if counted is not None:
            known = counted
            if what in ("claim", "take"):
                mine[who] = counted
            if what == "end":
                ended_by.add((who, counted.token))
    assert len(ended_by) <= 1
    assert not ended_by or (known is not None and known.state in ENDED)
