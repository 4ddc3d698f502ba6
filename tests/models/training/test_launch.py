from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from models.embedder.model import Model, keras_network
from models.training.checkpoint import State
from models.training.history import TrainingProgress
from models.training.launch import TrainingFailed, launch
from models.training.plan import Run, TrainingPlan
from models.training.prepare import prepare
from models.training.samples import TrainingSet

STEPS = 100
PLAN = TrainingPlan(steps=STEPS, batch=2, bases=0, warm_up=2, validate_every=10, checkpoint_every=2, patience=99)


def test_a_killed_worker_costs_a_restart_and_all_end_with_the_same_weights(
    tmp_path: Path, small: Path, small_people: TrainingSet
) -> None:
    run = prepare(tmp_path / "run", PLAN, Model.load(small), keras_network(small), small_people)
    pids: list[list[int]] = []

    def kill() -> None:
        while (state := State.read(run.checkpoint)) is None or state.step < 12:
            time.sleep(0.01)
        os.kill(pids[0][1], signal.SIGKILL)

    seen: list[TrainingProgress] = []
    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    ended = launch(run, small, workers=2, threads=1, say=seen.append, started=pids.append)
    killer.join()
    assert (ended.restarts, len(pids)) == (1, 2)
    assert ended.identical
    assert [outcome.steps for outcome in ended.outcomes] == [STEPS, STEPS]
    steps = [now.step for now in seen]
    assert sorted(set(steps)) == list(range(10, STEPS + 1, 10))
    assert steps.count(10) == 1, "it goes on from a checkpoint, so that step is not taken again"
    assert run.learned.exists()


def test_a_run_that_cannot_be_says_what_a_worker_said(tmp_path: Path) -> None:
    run = Run(tmp_path)
    with pytest.raises(TrainingFailed, match=r"(?s)1 times.*no model card"):
        launch(run, tmp_path, workers=1, threads=1, restarts=0)
