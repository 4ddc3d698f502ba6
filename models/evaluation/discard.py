"""The error-versus-discard curve: how many errors are left once the photographs of the lowest quality are gone.

Source: ISO/IEC 29794-1:2024; Grother and Tabassi, "Performance of biometric quality measures" (2007). A quality score
is worth as much as the curve falls: discarding photographs at random leaves the rate of errors as it is.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from models.evaluation.scores import Distances

FMR = 1e-3
"""The false-match rate whose threshold holds along the whole curve."""
SHARES = tuple(percent / 100 for percent in range(31))
"""The shares of the photographs that are discarded: one for each percent."""
DISCARD_FILE = "discard.json"
"""Lies beside the card, not on it: a version whose card differs from the one that was rolled out is not loaded."""
_SEED = 0


class DiscardCurve(BaseModel):
    """The false non-match rate (FNMR) by the share of photographs discarded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pictures: str = Field("", description="Which pictures were measured, for people to read.")
    fmr: float = Field(description="False-match rate of the threshold, over all photographs.")
    fnmr: tuple[float, ...] = Field(
        min_length=len(SHARES),
        max_length=len(SHARES),
        description="Of the pairs left, after 0, 1, … 30 % of the photographs have been discarded.",
    )
    gain: float | None = Field(
        description="Share of the area between discarding at random and the ideal that the curve gains: 0 is a quality "
        "that says nothing of errors, 1 one that knows each of them. Unset: there are no errors to predict."
    )


def read(folder: Path) -> DiscardCurve | None:
    """Read the curve beside a model's card; None if there is none.

    Raises:
        ValueError: the file holds no curve.
    """
    path = folder / DISCARD_FILE
    return DiscardCurve.model_validate_json(path.read_bytes()) if path.is_file() else None


def discard_curve(
    distances: Distances,
    first: NDArray[np.intp],
    second: NDArray[np.intp],
    same: NDArray[np.bool_],
    quality: NDArray[np.float64],
    fmr: float = FMR,
) -> DiscardCurve | None:
    """Discard the photographs of the lowest quality, and with them all their pairs.

    So a pair counts as good as the worse of its photographs. Photographs of the same quality go in random order.

    Args:
        distances: of pairs [m].
        first: the number of one photograph of each pair [m].
        second: that of the other [m].
        same: whether a pair shows one person [m].
        quality: of each photograph [n]; NaN: it is in no pair.
        fmr: false-match rate of the threshold.

    Returns:
        The curve; None without pairs of both kinds.
    """
    strangers = np.sort(distances[~same])
    if not same.any() or not strangers.size:
        return None
    missed = distances[same] >= strangers[int(strangers.size * fmr)]
    order = np.lexsort((np.random.default_rng(_SEED).random(quality.size), quality))
    photographs = int(np.isfinite(quality).sum())  # NaN is sorted to the end.
    place = np.empty(quality.size, np.intp)
    place[order] = np.arange(quality.size)
    worst = np.minimum(place[first[same]], place[second[same]])
    fnmr, ideal = [], []
    for share in SHARES:
        left = worst >= round(share * photographs)
        fnmr.append(float(missed[left].mean()) if left.any() else 0.0)
        # An ideal score has the missed pairs among those that go.
        ideal.append(max(0.0, float(missed.sum() - (~left).sum())) / max(1, int(left.sum())))
    area, least = np.trapezoid(fnmr, SHARES), np.trapezoid(ideal, SHARES)
    most = fnmr[0] * SHARES[-1]
    gain = float((most - area) / (most - least)) if most > least else None
    return DiscardCurve(fmr=fmr, fnmr=tuple(fnmr), gain=gain)
