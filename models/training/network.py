"""The part of the reference network that full training changes, and the layers that it adds.

Only the **first layers** are trained. They see edges and texture, which poor cameras degrade for everybody alike, so
what they learn from few people holds for others. The later layers tell people apart; when they were trained too, they
memorised the people of the training set within 200 steps and failed on others. (Tuning the first layers when the inputs
have changed is surgical fine-tuning: Lee et al. 2023, arXiv 2210.11466.)

After the network, its vectors are **evened out**. Vectors near the mean face are near to everybody's (hubs: Radovanović
et al. 2010, JMLR 11), so at one threshold strangers pass more often for some people than for others. The distance to
the mean, in units of the usual distance, is raised to the power ``EVENNESS``: 1 would change nothing, and 0 would put
everybody on a sphere around the mean. Vectors of length 1, whose metric is cosine, are left as they are.
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
"""The number of blocks that are trained, out of 14 of dlib's network, or of 13 of SFace."""

EVENNESS = 0.5

_LAST = "even_vectors"
_UNIT = "unit"


def grow(network: Any, vectors: Vectors, real: NDArray[np.bool_]) -> tuple[keras.Model, Vectors]:
    """Add the layers that even out the vectors, unless the network has them already or makes vectors of length 1.

    Args:
        network: a reference network (see :mod:`models.embedder.resnet` and :mod:`models.embedder.mobilenet`), or one
            trained from it.
        vectors: its vectors of clean faces [n, d].
        real: which of the faces are not mixtures [n]. Only these determine the mean and the usual distance, because
            mixtures are nearer to the mean.

    Returns:
        The new network, and its vectors of the same faces.

    Raises:
        UnusableModel: it is another kind of network.
    """
    names = {layer.name for layer in network.layers} if isinstance(network, keras.Model) else set()
    last = f"block{EARLY_BLOCKS - 1}_"
    if not names.issuperset(["stem", "vector"]) or not names.intersection([f"{last}b", f"{last}pointwise"]):
        raise UnusableModel(
            "full training takes only the reference networks and versions trained from them; "
            "train other networks with the mode head"
        )
    if is_even(network) or _UNIT in names:
        return network, vectors
    evened = even(network.output, vectors[real])
    as_evened = np.asarray(keras.Model(network.output, evened)(vectors), np.float32)
    return keras.Model(network.input, evened, name="facestream_even"), as_evened


def even(output: Any, vectors: Vectors) -> Any:
    """Add the layers that even out the vectors of a Keras tensor; ``vectors`` [n, d] are those of clean faces."""
    mean = vectors.mean(0)
    usual = np.full_like(mean, np.square(vectors - mean).sum(1).mean())
    scale = {"mean": mean.tolist(), "variance": usual.tolist()}
    away = layers.Normalization(**scale, name="even_away")(output)
    squares = ops.sum(ops.square(away), axis=1, keepdims=True) + 1e-6
    evened = layers.Multiply(name="even_distance")([away, ops.power(squares, (EVENNESS - 1) / 2)])
    return layers.Normalization(**scale, invert=True, name=_LAST)(evened)


def is_even(network: Any) -> bool:
    """Whether a network, or one within it, evens out its vectors already."""
    inner = getattr(network, "layers", ())
    return any(layer.name == _LAST or is_even(layer) for layer in inner)


def learnable(network: keras.Model) -> list[Any]:
    """The variables that full training changes, in a fixed order."""
    early = ("stem", *(f"block{index}_" for index in range(EARLY_BLOCKS)))
    return [variable for layer in network.layers if layer.name.startswith(early) for variable in layer.variables]


def compute_in(network: keras.Model, precision: str) -> None:
    """Set a Keras dtype policy for the convolutions and the layers between; weights and vectors stay float32."""
    for layer in network.layers:
        if layer.name.startswith(("stem", "block", "pool")):
            layer.dtype_policy = precision
