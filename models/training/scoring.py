"""Scores a version for its card: rates with intervals, the ROC curve, and the distribution of distances."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.embedder.card import Rate, Scores
from models.evaluation.comparisons import Comparisons, draws, exact_at_extremes, interval
from models.evaluation.evaluation import FAR_TARGETS

_SEEN = 10
_ROC_POINTS = 41
_BINS = 40


def is_seen(far: float, impostor_pairs: int) -> bool:
    """Whether there are enough pairs to measure a rate, with at least ten false accepts; else it is extrapolated."""
    return far * impostor_pairs >= _SEEN


def scored(compared: Comparisons, seed: int) -> Scores:
    """Score genuine and impostor comparisons of people outside the training set.

    With fewer impostor pairs than 1 / FAR, none of them may pass, so the nearest one determines the TAR.
    """
    genuine, impostor = compared.genuine(), compared.strangers()
    people = compared.people_twice
    fars = [float(far) for far in FAR_TARGETS]
    drawn = np.array([compared.tars(fars, times) for times in draws(compared.people, seed)])
    drawn = drawn[~np.isnan(drawn).any(axis=1)]
    rates = {
        name: Rate(
            tar=tar,
            interval=exact_at_extremes(interval(drawn[:, at]), tar, people),
            extrapolated=not is_seen(far, impostor.size),
        )
        for at, (name, far, tar) in enumerate(zip(FAR_TARGETS, fars, compared.tars(fars), strict=True))
    }
    axis = np.geomspace(max(fars[-1], 1 / impostor.size), 1, _ROC_POINTS)
    edges = np.linspace(0, compared.distances[-1], _BINS + 1)
    shares = (np.histogram(part, edges)[0] / part.size for part in (genuine, impostor))
    return Scores(
        genuine_pairs=genuine.size,
        impostor_pairs=impostor.size,
        tar_at_far=rates,
        roc=tuple(zip(_short(axis), _short(np.array(compared.tars(axis.tolist()))), strict=True)),
        distances=tuple(zip(_short(edges[1:]), *map(_short, shares), strict=True)),
    )


def _short(values: NDArray[np.float64]) -> list[float]:
    return [float(f"{value:.4g}") for value in values.tolist()]
