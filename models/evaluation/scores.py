"""Verification measures, computed from the distances of pairs of one person (genuine) and of two (impostor).

Source of the terms: ISO/IEC 19795-1. TAR is 1 - FNMR; FAR equals FMR here, because every pair is scored.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Distances = NDArray[np.float64]
"""[n]; infinite if a face was not found, so that the pair never passes."""


def roc_auc(genuine: Distances, impostor: Distances) -> float | None:
    """The ROC AUC: how often a genuine pair is nearer than an impostor pair, where a tie counts half.

    None without pairs of both kinds.
    """
    if not genuine.size or not impostor.size:
        return None
    ordered = np.sort(impostor)
    nearer = np.searchsorted(ordered, genuine, "left")
    not_farther = np.searchsorted(ordered, genuine, "right")
    return float(1 - (nearer + not_farther).mean() / 2 / impostor.size)


def tar_at_far(genuine: Distances, impostor: Distances, far: float) -> float | None:
    """The share of genuine pairs that pass at the loosest threshold with at most this false-accept rate.

    With fewer impostor pairs than 1 / far, no impostor pair may pass. None without pairs of both kinds.
    """
    if not genuine.size or not impostor.size:
        return None
    # The first impostor pair beyond the allowed number must not pass.
    first_refused = np.sort(impostor)[int(impostor.size * far)]
    return float((genuine < first_refused).mean())


def accuracy(genuine: Distances, impostor: Distances, threshold: float) -> float | None:
    """The share of pairs that are decided correctly, where a distance below the threshold means one person.

    None without pairs.
    """
    pairs = genuine.size + impostor.size
    if not pairs:
        return None
    return float(((genuine < threshold).sum() + (impostor >= threshold).sum()) / pairs)
