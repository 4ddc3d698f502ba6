"""Statistical tests of two samples, the reference and the current one: effect and p-value.

``draws`` are the effective sizes of the samples, see :mod:`models.drift.stays`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
"""[n]"""
Pair = tuple[Values, Values]
"""The values of the reference, and of the current sample."""
Compared = tuple[float, float]
"""Effect and p-value."""


def distributions(pair: Pair, draws: tuple[float, float], *, falls: bool = False) -> Compared:
    """The Kolmogorov-Smirnov test; its effect is D.

    Args:
        pair: the values.
        draws: the effective sample sizes.
        falls: whether only a decrease counts as a difference.
    """
    from scipy.stats import ks_2samp, kstwobign

    effect = float(ks_2samp(*pair, "less" if falls else "two-sided", "asymp").statistic)
    root = math.sqrt(draws[0] * draws[1] / (draws[0] + draws[1]))
    # The correction of the asymptotic distribution for small samples: Stephens (1970).
    p_value = float(kstwobign.sf((root + 0.12 + 0.11 / root) * effect))
    return effect, p_value


def rates(pair: Pair, draws: tuple[float, float]) -> Compared:
    """Fisher's exact test of whether a rate has risen; values are 0 or 1, and the effect is the increase."""
    from scipy.stats import fisher_exact

    before, now = (float(values.mean()) for values in pair)
    sizes = [max(1, math.floor(size)) for size in draws]
    counts = [round(before * sizes[0]), round(now * sizes[1])]
    table = [[counts[1], sizes[1] - counts[1]], [counts[0], sizes[0] - counts[0]]]
    return now - before, float(fisher_exact(table, alternative="greater").pvalue)
