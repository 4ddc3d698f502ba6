"""The checkpoint of a run: worker 0 writes it atomically, and all workers read it when they start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Values = list[NDArray[Any]]

_LISTS = ("values", "averaged", "best", "optimizer")


@dataclass(slots=True)
class State:
    """The weights, their average, the best average so far, and the state of the optimizer."""

    values: Values
    averaged: Values
    best: Values
    optimizer: Values = field(default_factory=list)
    step: int = 0
    best_step: int = 0
    best_validation: float | None = None
    worse: int = 0
    """Number of validations since the best one."""

    @classmethod
    def start(cls, values: Values) -> Self:
        """The state before the first step."""
        return cls(values, values, values)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read a checkpoint; None if there is none."""
        if not path.exists():
            return None
        with np.load(path) as stored:
            lists = {name: [stored[f"{name}-{at}"] for at in range(int(stored[name]))] for name in _LISTS}
            step, best_step, worse = (int(number) for number in stored["counts"])
            score = float(stored["best_validation"])
        best = None if np.isnan(score) else score
        return cls(**lists, step=step, best_step=best_step, best_validation=best, worse=worse)

    def write(self, path: Path) -> None:
        """Replace the checkpoint atomically: if the process is killed meanwhile, the old one remains."""
        arrays: dict[str, Any] = {}
        for name in _LISTS:
            values = getattr(self, name)
            arrays[name] = len(values)
            arrays |= {f"{name}-{at}": value for at, value in enumerate(values)}
        score = np.nan if self.best_validation is None else self.best_validation
        beside = path.with_suffix(".new.npz")
        np.savez(beside, counts=[self.step, self.best_step, self.worse], best_validation=score, **arrays)
        beside.replace(path)

    def keep_if_best(self, averaged: Sequence[NDArray[Any]], validation: float | None) -> None:
        """Keep the averaged weights if they are the best so far. Without a validation, the latest are the best."""
        if validation is None or self.best_validation is None or validation < self.best_validation:
            self.best = list(averaged)
            self.best_validation, self.best_step, self.worse = validation, self.step, 0
        else:
            self.worse += 1
