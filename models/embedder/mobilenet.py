"""SFace's network in Keras: a MobileNet whose normalisations are folded into its convolutions.

Source: Zhong et al., SFace: Sigmoid-Constrained Hypersphere Loss for Robust Face Recognition (2021); Howard et al.,
MobileNets (2017).
"""

from __future__ import annotations

import keras  # type: ignore[import-untyped]
from keras import layers

from models.embedder.sface_format import CHIP_SIZE, SFaceConvolution, SFaceWeights

_HALVING = frozenset({1, 3, 5, 11})
"""The blocks, counted from 0, that halve rows and columns."""


def build(weights: SFaceWeights) -> keras.Model:
    """Build the network. Input: (RGB chips - 127.5) / 128, [n, 112, 112, 3]; output: vectors [n, 128] of length 1."""
    chips = keras.Input((CHIP_SIZE, CHIP_SIZE, 3), name="chips")
    learned: list[list[object]] = []
    x = _convolved(chips, weights.stem, "stem", learned)
    for number, (depthwise, pointwise) in enumerate(weights.blocks):
        if number in _HALVING:
            # Keras would pad these on one side only.
            x = layers.ZeroPadding2D(1, name=f"block{number}_pad")(x)
        x = _convolved(x, depthwise, f"block{number}_depthwise", learned, halving=number in _HALVING)
        x = _convolved(x, pointwise, f"block{number}_pointwise", learned)
    x = layers.Dense(len(weights.bias), name="vector")(layers.Flatten(name="flat")(x))
    # Cosine is the metric: with it, training measures the distances that are compared later.
    model = keras.Model(chips, layers.UnitNormalization(name="unit")(x), name="sface")
    with_weights = [layer for layer in model.layers if layer.weights]
    for layer, values in zip(with_weights, [*learned, [weights.projection, weights.bias]], strict=True):
        layer.set_weights(values)
    return model


def _convolved(
    x: keras.KerasTensor, weights: SFaceConvolution, name: str, learned: list[list[object]], *, halving: bool = False
) -> keras.KerasTensor:
    """The layers of a convolution behind ``x``; their weights are appended to ``learned``."""
    rows, _, _, filters = weights.kernel.shape
    settings = {"strides": 2 if halving else 1, "padding": "valid" if halving else "same", "name": name}
    if name.endswith("_depthwise"):
        x = layers.DepthwiseConv2D(rows, **settings)(x)
    else:
        x = layers.Conv2D(filters, rows, **settings)(x)
    learned += [[weights.kernel, weights.bias], [weights.slope[None, None]]]
    return layers.PReLU(shared_axes=[1, 2], name=f"{name}_prelu")(x)
