"""Charts made of characters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_BINS = 12
_WIDTH = 40


def histogram(values: Sequence[float], unit: str) -> str:
    """A histogram with logarithmic bins, for values that span orders of magnitude."""
    if not values:
        return "(nothing)"
    low, high = max(min(values), 0.1), max(values) + 0.1
    edges = np.geomspace(low * 0.999, high * 1.001, _BINS + 1)
    counts = np.histogram(np.clip(values, low, None), edges)[0]
    lines = []
    for start, end, count in zip(edges, edges[1:], counts, strict=False):
        bar = "█" * round(_WIDTH * count / counts.max())
        lines.append(f"{start:8.0f} – {end:6.0f} {unit} {bar} {count}")
    return "\n".join(lines)
