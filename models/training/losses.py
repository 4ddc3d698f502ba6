"""The loss functions. Tensors are float32; ``vectors`` [n, d] are those of the version in training.

Sources: distillation, Hinton et al. 2015 (arXiv 1503.02531); pairwise logistic loss as in Zhai et al. 2023 (arXiv
2303.15343), on distances; ArcFace, Deng et al. 2019 (arXiv 1801.07698); backward-compatible training, Shen et al. 2020
(arXiv 2003.11942).
"""

from __future__ import annotations

from typing import Any

from keras import ops  # type: ignore[import-untyped]

STEEPNESS = 20.0
"""Slope of the pairwise loss at the threshold, per unit of distance."""

STRANGERS = 10.0
"""Weight of impostor pairs relative to genuine pairs in that loss, because a FAR of 1 % depends on few of them."""

ARC_SCALE, ARC_MARGIN = 16.0, 0.3
"""Scale and margin; the paper's 64 and 0.5 are for a hundred thousand people."""


def distillation(vectors: Any, wanted: Any) -> Any:
    """The squared distance [n] to the old version's vector of the clean picture.

    Alone, this loss moves poor pictures towards the mean face, which also brings strangers nearer: for held-out people
    the distance fell (0.447 to 0.429), but TAR at FAR 1e-2 fell from 0.88 to 0.78.
    """
    return ops.sum(ops.square(vectors - wanted), axis=1)


def distances(vectors: Any, templates: Any) -> Any:
    """The Euclidean distances [n, m], smoothed at zero to have a gradient there."""
    squares = ops.sum(ops.square(vectors), axis=1)[:, None] + ops.sum(ops.square(templates), axis=1)[None]
    return ops.sqrt(ops.maximum(squares - 2 * ops.matmul(vectors, ops.transpose(templates)), 0) + 1e-6)


def pairwise(gaps: Any, genuine: Any, strangers: Any, threshold: float) -> Any:
    """The logistic loss [n] of deciding about pairs of probes and templates with one threshold.

    One threshold for all pictures, whatever their quality, is what TAR at a fixed FAR rewards.

    Args:
        gaps: distances [n, m].
        genuine: 1 for pairs of one person, else 0 [n, m].
        strangers: 1 for pairs of two people, else 0 [n, m].
        threshold: the distance that separates the two.
    """
    missed = _mean(ops.softplus(STEEPNESS * (gaps - threshold)), genuine)
    return missed + STRANGERS * apart(gaps, strangers, threshold)


def apart(gaps: Any, strangers: Any, threshold: float) -> Any:
    """The logistic loss [n] of pairs that are nearer than the threshold; 0 for a row without a chosen pair.

    Args:
        gaps: distances [n, m].
        strangers: 1 for the chosen pairs, else 0 [n, m].
        threshold: the distance that they should exceed.
    """
    return _mean(ops.softplus(STEEPNESS * (threshold - gaps)), strangers)


def arc_face(vectors: Any, centres: Any, labels: Any, margin: float = ARC_MARGIN) -> Any:
    """The additive angular margin loss [n] over people with centres [k, d]; 0 where the label is negative.

    Without a margin, and with the old version's centres fixed, it is the influence loss of backward-compatible
    training.
    """
    cosines = ops.clip(ops.matmul(_unit(vectors), ops.transpose(_unit(centres))), -1 + 1e-6, 1 - 1e-6)
    own = ops.one_hot(ops.maximum(labels, 0), ops.shape(centres)[0])
    angles = ops.arccos(cosines) + margin * own
    # Beyond pi the cosine would rise again, but -2 - cos goes on falling.
    wanted = ops.where(angles < 3.14159, ops.cos(angles), -2 - ops.cos(angles))
    logits = ARC_SCALE * wanted
    loss = ops.logsumexp(logits, axis=1) - ops.sum(logits * own, axis=1)
    return ops.where(labels >= 0, loss, 0.0)


def _mean(values: Any, chosen: Any) -> Any:
    return ops.sum(values * chosen, axis=1) / ops.maximum(ops.sum(chosen, axis=1), 1.0)


def _unit(vectors: Any) -> Any:
    return vectors / ops.sqrt(ops.sum(ops.square(vectors), axis=1, keepdims=True) + 1e-12)
