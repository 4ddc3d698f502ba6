"""The trainable part of the reference network in full training, and the layers that are added to it.

Learned are the **first layers** alone: they see edges and texture, which poor cameras spoil on everybody alike, so what
they learn from few people holds for others. The later layers, which tell people apart, stay as they are: learned too,
they knew the people of the training set by heart within 200 steps and others no more. (Where inputs have changed, tune
the first layers: surgical fine-tuning, Lee et al. 2023, arXiv 2210.11466.)

Behind the network its vectors are **evened out**. Vectors near the mean face are near to everybody's (hubs, Radovanović
et al. 2010, JMLR 11), so one threshold lets strangers pass unevenly. Their distance to the mean, the usual one being 1,
is raised to the power ``EVENNESS``: 1 would change nothing, 0 put everybody on a sphere around the mean.
"""

from __future__ import annotations

from typing import Any

import keras  # type: ignore[import-untyped]
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from models.embedder.card import UnusableModel
from models.embedder.model import Vectors

EARLY_BLOCKS = 5
"""Blocks that are trained: the first ones of 14."""

EVENNESS = 0.5

_LAST = "even_vectors"


def grow(network: Any, vectors: Vectors, real: NDArray[np.bool_]) -> tuple[keras.Model, Vectors]:
    """The network with its vectors evened out; one that does so already stays as it is.

    Args:
        network: the reference (see :mod:`models.embedder.resnet`), or what grew out of it.
        vectors: what it makes of clean faces [n, d].
        real: which of the faces somebody has [n]: the mean of these, and their usual distance to it, are kept in the
            new network (mixtures of two are nearer to the mean).

    Returns:
        the new network, and the vectors as it makes them.

    Raises:
        UnusableModel: it is another network.
    """
    names = {layer.name for layer in network.layers} if isinstance(network, keras.Model) else set()
    if not names.issuperset(["stem", f"block{EARLY_BLOCKS - 1}_b", "vector"]):
        raise UnusableModel(
            "no network that full training knows: it takes the reference and what grew out of it; "
            "for other networks there is the mode head"
        )
    if _LAST in names:
        return network, vectors
    mean = vectors[real].mean(0)
    usual = np.full_like(mean, np.square(vectors[real] - mean).sum(1).mean())
    scale = {"mean": mean.tolist(), "variance": usual.tolist()}
    away = layers.Normalization(**scale, name="even_away")(network.output)
    squares = ops.sum(ops.square(away), axis=1, keepdims=True) + 1e-6
    even = layers.Multiply(name="even_distance")([away, ops.power(squares, (EVENNESS - 1) / 2)])
    evened = layers.Normalization(**scale, invert=True, name=_LAST)(even)
    as_evened = np.asarray(keras.Model(network.output, evened)(vectors), np.float32)
    return keras.Model(network.input, evened, name="facestream_even"), as_evened


def learnable(network: keras.Model) -> list[Any]:
    """The variables that full training changes, in a fixed order."""
    early = ("stem", *(f"block{index}_" for index in range(EARLY_BLOCKS)))
    return [variable for layer in network.layers if layer.name.startswith(early) for variable in layer.variables]


def compute_in(network: keras.Model, precision: str) -> None:
    """Compute convolutions and what is between them in a Keras dtype policy; weights and vectors stay float32."""
    for layer in network.layers:
        if layer.name.startswith(("stem", "block", "pool")):
            layer.dtype_policy = precision
