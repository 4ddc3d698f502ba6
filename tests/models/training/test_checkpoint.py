from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.training.checkpoint import State


def values(number: float) -> list[np.ndarray]:
    return [np.full((2, 3), number, np.float32), np.full(4, number, np.float32)]


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.npz"
    assert State.read(path) is None
    state = State.start(values(1))
    state.write(path)
    assert (read := State.read(path)) is not None
    assert read.best_validation is None
    state.step, state.averaged, state.optimizer = 7, values(2), values(3)
    state.keep_if_best(state.averaged, 0.5)
    state.worse = 2
    state.write(path)
    assert (read := State.read(path)) is not None
    assert (read.step, read.best_step, read.best_validation, read.worse) == (7, 7, 0.5, 2)
    for name, number in (("values", 1), ("averaged", 2), ("best", 2), ("optimizer", 3)):
        assert all(np.array_equal(one, other) for one, other in zip(getattr(read, name), values(number), strict=True))
    assert [left.name for left in tmp_path.iterdir()] == [path.name]


def test_a_process_killed_while_it_writes_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint.npz"
    state = State.start(values(1))
    state.write(path)

    def killed(beside: Path, **_: object) -> None:
        beside.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", killed)
    state.step = 5
    with pytest.raises(KeyboardInterrupt):
        state.write(path)
    assert (read := State.read(path)) is not None
    assert read.step == 0


def test_the_best_is_kept_and_the_worse_are_counted() -> None:
    state = State.start(values(0))
    for step, validation in enumerate([0.5, 0.4, 0.6, 0.4], 1):
        state.step = step
        state.keep_if_best(values(step), validation)
    assert (state.best_step, state.best_validation, state.worse) == (2, 0.4, 2)
    assert np.array_equal(state.best[0], values(2)[0])


def test_where_nobody_is_held_out_the_last_is_the_best() -> None:
    state = State.start(values(0))
    for step in (1, 2):
        state.step = step
        state.keep_if_best(values(step), None)
    assert (state.best_step, state.best_validation, state.worse) == (2, None, 0)
