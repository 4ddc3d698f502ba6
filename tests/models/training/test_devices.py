"""Several devices in one process: on two halves of a processor here, for what holds of two GPUs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models.embedder.model import Model, keras_network
from models.training.checkpoint import State
from models.training.launch import launch
from models.training.loop import Outcome
from models.training.plan import Run, TrainingPlan
from models.training.prepare import prepare
from models.training.samples import TrainingSet

ROOT = Path(__file__).parents[3]
PLAN = TrainingPlan(steps=6, batch=2, bases=0, warm_up=2, validate_every=3, checkpoint_every=3, arc_face=0.05)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, small: Path, small_people: TrainingSet) -> Run:
    folder = tmp_path_factory.mktemp("prepared") / "run"
    return prepare(folder, PLAN, Model.load(small), keras_network(small), small_people)


@pytest.mark.long
def test_two_devices_of_one_process_learn_what_two_processes_do(prepared: Run, tmp_path: Path, small: Path) -> None:
    devices, processes = (Run(shutil.copytree(prepared.folder, tmp_path / name)) for name in ("devices", "processes"))
    outcome = on_two_devices(devices, small)
    assert outcome.steps == PLAN.steps
    launched = launch(processes, small, workers=2, threads=1)
    assert outcome.validation == pytest.approx(launched.outcomes[0].validation, rel=1e-4)
    one, other = State.read(devices.checkpoint), State.read(processes.checkpoint)
    assert one is not None
    assert other is not None
    # Nothing but the order of two additions differs.
    for mine, theirs in zip(one.values, other.values, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-6)


def on_two_devices(run: Run, old: Path) -> Outcome:
    ended = subprocess.run(
        [sys.executable, Path(__file__).parent / "two_devices.py", run.folder, old],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return Outcome(**json.loads(run.result(0).read_bytes()))
