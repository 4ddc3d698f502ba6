"""Measures how a training has changed the errors of each group of people and each camera."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.embedder.card import GroupMeasured, Shift
from models.evaluation.comparisons import FAR, Interval, interval
from models.evaluation.groups import drawn_errors, summed_up
from models.training.compare import Compared, Pair


def gaps(compared: Compared, seed: int) -> tuple[GroupMeasured, ...]:
    """Measure every group that has a genuine pair, on each kind of pictures.

    Both versions are measured on the same bootstrap samples, so their difference is more precise than either.
    """
    measured = []
    for group, pairs in compared.groups.items():
        for kind, whole, within in zip(("clean", "degraded"), (compared.clean, compared.degraded), pairs, strict=True):
            found = _measured(whole, within, seed)
            if found is not None:
                measured.append(GroupMeasured(by=group.by, group=group.name, pictures=kind, **found))
    return tuple(measured)


def _measured(whole: Pair, within: Pair, seed: int) -> dict[str, Any] | None:
    before, after = (
        drawn_errors(pairs, every.distance_at(FAR), seed) for pairs, every in zip(within, whole, strict=True)
    )
    now = summed_up(within[1], after)
    if now is None:
        return None
    return {
        "people": now.people,
        "genuine_pairs": now.genuine_pairs,
        "impostor_pairs": now.impostor_pairs,
        "fnmr": _shift(before[:, 0], after[:, 0], now.fnmr_interval),
        "fmr": None if now.fmr_interval is None else _shift(before[:, 1], after[:, 1], now.fmr_interval),
    }


def _shift(before: NDArray[np.float64], after: NDArray[np.float64], of_after: Interval) -> Shift:
    changed = (after - before)[1:]
    return Shift(
        before=before[0],
        after=after[0],
        interval=of_after,
        change_interval=interval(changed[~np.isnan(changed)]),
    )
