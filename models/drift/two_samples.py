"""Tests of two samples, the reference and the current one: effect size and p-value.

Sample sizes are effective ones, see :mod:`models.drift.stays`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
"""[n]"""
Pair = tuple[Values, Values]
"""The reference, and the current sample."""
Compared = tuple[float, float]
"""Effect and p-value."""


def distributions(pair: Pair, draws: tuple[float, float], *, falls: bool = False) -> Compared:
    """Kolmogorov's and Smirnov's test.

    Args:
        pair: values before, and now.
        draws: what the two samples are worth.
        falls: whether only smaller values now are a difference.
    """
    from scipy.stats import ks_2samp, kstwobign

    effect = float(ks_2samp(*pair, "less" if falls else "two-sided", "asymp").statistic)
    root = math.sqrt(draws[0] * draws[1] / (draws[0] + draws[1]))
    # The correction of the asymptotic law for small samples, after Stephens (1970).
    p_value = float(kstwobign.sf((root + 0.12 + 0.11 / root) * effect))
    return effect, p_value


def rates(pair: Pair, draws: tuple[float, float]) -> Compared:
    """Fisher's exact test of a rate that rises; values are 0 or 1."""
    from scipy.stats import fisher_exact

    before, now = (float(values.mean()) for values in pair)
    sizes = [max(1, math.floor(size)) for size in draws]
    counts = [round(before * sizes[0]), round(now * sizes[1])]
    table = [[counts[1], sizes[1] - counts[1]], [counts[0], sizes[0] - counts[0]]]
    return now - before, float(fisher_exact(table, alternative="greater").pvalue)
