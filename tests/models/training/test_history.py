from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from models.embedder import runtime
from models.training import history
from models.training.history import History, TrainingProgress
from models.training.plan import Run

NOW = TrainingProgress(step=10, steps=30, loss=0.5, validation=0.25, tar=0.75, samples_per_s=99.0)


def test_what_was_written_is_read_and_a_step_taken_again_is_there_once(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert history.read(run) == []
    course = History(run)
    for now in (NOW, later := replace(NOW, step=20, tar=None), replace(later, loss=0.375)):
        course.add(now)
    assert history.read(run) == [NOW, replace(later, loss=0.375)]


def test_tensorboard_can_read_it(tmp_path: Path) -> None:
    tf = runtime.tensorflow()
    History(Run(tmp_path)).add(replace(NOW, validation=None))
    [log] = Run(tmp_path).board.iterdir()
    values = {
        (event.step, value.tag): tf.make_ndarray(value.tensor).item()
        for event in tf.compat.v1.train.summary_iterator(str(log))
        for value in event.summary.value
    }
    assert values == {(10, "loss"): 0.5, (10, "tar"): 0.75, (10, "samples_per_s"): pytest.approx(99)}
