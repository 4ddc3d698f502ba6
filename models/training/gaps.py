"""What learning has changed for each group of people and each camera: nobody is to pay for what others gain."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.card import GroupMeasured, Shift
from models.comparisons import FAR, interval
from models.groups import drawn_errors, errors
from models.training.compare import Compared, Pair


def gaps(compared: Compared, seed: int) -> tuple[GroupMeasured, ...]:
    """Measure every group with a pair of one person, on each kind of pictures.

    Every draw of people is made for both versions alike, so their difference is surer than either.
    """
    measured = []
    for group, pairs in compared.groups.items():
        for kind, whole, within in zip(("clean", "degraded"), (compared.clean, compared.degraded), pairs, strict=True):
            found = _measured(whole, within, seed)
            if found is not None:
                measured.append(GroupMeasured(by=group.by, group=group.name, pictures=kind, **found))
    return tuple(measured)


def _measured(whole: Pair, within: Pair, seed: int) -> dict[str, Any] | None:
    distances = [every.distance_at(FAR) for every in whole]
    now = errors(within[1], distances[1], seed)
    if now is None:
        return None
    before, after = (drawn_errors(pairs, distance, seed) for pairs, distance in zip(within, distances, strict=True))
    return {
        "people": now.people,
        "genuine_pairs": now.genuine_pairs,
        "impostor_pairs": now.impostor_pairs,
        "fnmr": _shift(before[:, 0], after[:, 0]),
        "fmr": _shift(before[:, 1], after[:, 1]) if now.impostor_pairs else None,
    }


def _shift(before: NDArray[np.float64], after: NDArray[np.float64]) -> Shift:
    drawn = after[1:][~np.isnan(after[1:])]
    changed = (after - before)[1:]
    return Shift(
        before=before[0],
        after=after[0],
        interval=interval(drawn),
        change_interval=interval(changed[~np.isnan(changed)]),
    )
