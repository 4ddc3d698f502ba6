"""Statistics of measurements."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def percentile(values: Sequence[float], percent: float) -> float:
    """A percentile rounded to one digit, 0 without values."""
    return round(float(np.percentile(values, percent)), 1) if values else 0.0
