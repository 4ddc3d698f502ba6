"""The reference network: dlib's face recognition ResNet in Keras, with its affine layers folded into convolutions."""

from __future__ import annotations

import keras  # type: ignore[import-untyped]
from keras import layers, ops

from models.embedder.dlib_format import CHIP_SIZE, RESIDUAL_BLOCKS, ResNetWeights

_FILTERS = (32, 32, 32, 64, 64, 64, 64, 128, 128, 128, 256, 256, 256, 256)


def build(weights: ResNetWeights) -> keras.Model:
    """Build the network. Input: (RGB chips - mean) / 256, [n, 150, 150, 3]; output: vectors [n, 128]."""
    chips = keras.Input((CHIP_SIZE, CHIP_SIZE, 3), name="chips")
    x = layers.Conv2D(32, 7, strides=2, activation="relu", name="stem")(chips)
    x = layers.MaxPooling2D(3, 2, name="stem_pool")(x)
    for index, (filters, reduces) in enumerate(zip(_FILTERS, RESIDUAL_BLOCKS, strict=True)):
        x = _block(x, filters, reduces, f"block{index}")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(chips, layers.Dense(128, use_bias=False, name="vector")(x), name="dlib_resnet")
    learned = [[convolution.kernel, convolution.bias] for convolution in weights.convolutions]
    with_weights = [layer for layer in model.layers if layer.weights]
    for layer, values in zip(with_weights, [*learned, [weights.projection]], strict=True):
        layer.set_weights(values)
    return model


def _block(x: keras.KerasTensor, filters: int, reduces: bool, name: str) -> keras.KerasTensor:
    y = layers.Conv2D(
        filters,
        3,
        strides=2 if reduces else 1,
        padding="valid" if reduces else "same",
        activation="relu",
        name=f"{name}_a",
    )(x)
    y = layers.Conv2D(filters, 3, padding="same", name=f"{name}_b")(y)
    if reduces:
        x = layers.AveragePooling2D(2, name=f"{name}_pool")(x)
        # dlib adds tensors of different sizes as if the smaller one were padded with zeros.
        if channels := filters - x.shape[3]:
            x = ops.pad(x, [(0, 0), (0, 0), (0, 0), (0, channels)])
        if rows := x.shape[1] - y.shape[1]:
            y = layers.ZeroPadding2D(((0, rows), (0, rows)), name=f"{name}_pad")(y)
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([y, x]))
