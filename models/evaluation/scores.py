"""Measures of verification, from distances of pairs of one person (genuine) and of two (impostor).

Source: ISO/IEC 19795-1 for the terms; TAR is 1 - FNMR, FAR is the FMR here because every pair is scored.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Distances = NDArray[np.float64]
"""[n]; infinite where a face was not found, so that the pair never passes."""


def roc_auc(genuine: Distances, impostor: Distances) -> float | None:
    """ROC AUC: how often a genuine pair is nearer than an impostor pair; a tie counts half. None without both kinds."""
    if not genuine.size or not impostor.size:
        return None
    ordered = np.sort(impostor)
    nearer = np.searchsorted(ordered, genuine, "left")
    not_farther = np.searchsorted(ordered, genuine, "right")
    return float(1 - (nearer + not_farther).mean() / 2 / impostor.size)


def tar_at_far(genuine: Distances, impostor: Distances, far: float) -> float | None:
    """The share of genuine pairs that pass at the loosest threshold which at most this share of impostors passes.

    With fewer impostor pairs than 1 / far, none of them may pass. None without pairs of both kinds.
    """
    if not genuine.size or not impostor.size:
        return None
    # The next impostor above those allowed must not pass.
    first_refused = np.sort(impostor)[int(impostor.size * far)]
    return float((genuine < first_refused).mean())


def accuracy(genuine: Distances, impostor: Distances, threshold: float) -> float | None:
    """The share of pairs decided rightly if a distance below the threshold means one person. None without pairs."""
    pairs = genuine.size + impostor.size
    if not pairs:
        return None
    return float(((genuine < threshold).sum() + (impostor >= threshold).sum()) / pairs)
