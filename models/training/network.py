"""The network that full training grows out of the reference: the same trunk, with a second way for poor pictures.

A gate in [0, 1], told from the first layers, says how much a picture has suffered. Beside the second convolution of
each later block stands a small one, times the gate, and beside the last layer another. All of these start at nought:
an untrained network gives the reference's vectors, and a trained one still does wherever the gate is shut, so that a
clean picture keeps the vector that it had.

Sources: residual adapters (Rebuffi et al. 2018, arXiv 1803.10082); the gate is this project's.
"""

from __future__ import annotations

from typing import Any

import keras  # type: ignore[import-untyped]
from keras import layers, ops

from models.dlib_format import CHIP_SIZE, RESIDUAL_BLOCKS

SHARED_BLOCKS = 3
"""The first blocks stay as they are, for both ways."""

_GATE_UNITS = 16


def grow(reference: keras.Model) -> keras.Model:
    """A network with the layers of the reference (see :mod:`models.resnet`), its second way still at nought.

    Takes prepared chips [n, 150, 150, 3]; gives vectors [n, 128].
    """
    chips = keras.Input((CHIP_SIZE, CHIP_SIZE, 3), name="chips")
    x = reference.get_layer("stem")(chips)
    evidence = [layers.GlobalAveragePooling2D(name="evidence_stem")(x)]
    x = reference.get_layer("stem_pool")(x)
    for index in range(SHARED_BLOCKS):
        x = _block(reference, x, index, None)
    evidence += [
        layers.GlobalAveragePooling2D(name="evidence_mean")(x),
        layers.GlobalMaxPooling2D(name="evidence_max")(x),
    ]
    gate = _gate(layers.Concatenate(name="evidence")(evidence))
    spread = layers.Reshape((1, 1, 1), name="gate_spread")(gate)
    for index in range(SHARED_BLOCKS, len(RESIDUAL_BLOCKS)):
        x = _block(reference, x, index, spread)
    x = reference.get_layer("pool")(x)
    plain = reference.get_layer("vector")(x)
    second = layers.Dense(plain.shape[-1], kernel_initializer="zeros", name="adapter_vector")(x)
    vectors = layers.Add(name="both_vectors")([plain, layers.Multiply(name="gated_vector")([second, gate])])
    return keras.Model(chips, vectors, name="facestream_gated")


def parts(network: keras.Model) -> tuple[keras.Model, keras.Model, keras.Model]:
    """Views of a grown network: chips to evidence, evidence to the gate's logit, and chips to (vectors, gate)."""
    evidence = network.get_layer("evidence").output
    logit = network.get_layer("gate_logit").output
    gate = network.get_layer("gate").output
    return (
        keras.Model(network.input, evidence),
        keras.Model(evidence, logit),
        keras.Model(network.input, [network.output, gate]),
    )


def is_grown(network: Any) -> bool:
    """Whether a Keras model is of this kind, so that full training can go on from it."""
    return isinstance(network, keras.Model) and network.name == "facestream_gated"


def adapters(network: keras.Model) -> list[Any]:
    """The variables that full training changes, in a fixed order; all others are the reference's or the gate's."""
    return [variable for layer in network.layers if layer.name.startswith("adapter_") for variable in layer.variables]


def _gate(evidence: keras.KerasTensor) -> keras.KerasTensor:
    """The logit's sigmoid, stretched so that what is surely clean gets exactly 0 and what is surely poor exactly 1."""
    x = layers.Normalization(name="gate_scale")(evidence)
    x = layers.Dense(_GATE_UNITS, activation="relu", name="gate_hidden")(x)
    x = layers.Dense(1, name="gate_logit")(x)
    x = layers.Activation("sigmoid", name="gate_sigmoid")(x)
    x = layers.Rescaling(2.0, -0.5, name="gate_stretch")(x)
    return layers.ReLU(max_value=1.0, name="gate")(x)


def _block(reference: keras.Model, x: keras.KerasTensor, index: int, gate: Any) -> keras.KerasTensor:
    name = f"block{index}"
    hidden = reference.get_layer(f"{name}_a")(x)
    y = reference.get_layer(f"{name}_b")(hidden)
    if gate is not None:
        second = layers.Conv2D(y.shape[-1], 1, kernel_initializer="zeros", name=f"adapter_{name}")(hidden)
        y = layers.Add(name=f"{name}_both")([y, layers.Multiply(name=f"{name}_gated")([second, gate])])
    if RESIDUAL_BLOCKS[index]:
        x = reference.get_layer(f"{name}_pool")(x)
        if channels := y.shape[3] - x.shape[3]:
            x = ops.pad(x, [(0, 0), (0, 0), (0, 0), (0, channels)])
        if x.shape[1] > y.shape[1]:
            y = reference.get_layer(f"{name}_pad")(y)
    return reference.get_layer(f"{name}_relu")(reference.get_layer(f"{name}_add")([y, x]))
