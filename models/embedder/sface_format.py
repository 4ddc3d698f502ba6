"""Reads the weights of SFace from the ONNX file of the OpenCV Zoo whose weights are quantised in blocks.

Every batch normalisation is folded into the layer before it or after it, which gives the same vectors with less work.

Source: the ONNX operators ``BatchNormalization`` and ``Gemm``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.embedder.block_quantised import attribute, weights

CHIP_SIZE = 112
_BLOCKS = 13
_LAST_SIDE = 7

Floats = NDArray[np.float32]
Tensors = Mapping[str, Floats]


@dataclass(frozen=True, slots=True)
class SFaceConvolution:
    """A convolution and the PReLU behind it.

    Attributes:
        kernel: [rows, columns, channels in, channels out], or [rows, columns, channels, 1] if it is depthwise.
        bias: [channels out].
        slope: [channels out], of negative values.
    """

    kernel: Floats
    bias: Floats
    slope: Floats


@dataclass(frozen=True, slots=True)
class SFaceWeights:
    """All weights of the network.

    Attributes:
        stem: the first convolution.
        blocks: depthwise and pointwise convolution of each block.
        projection: [7 * 7 * channels, 128], its rows ordered by row, column and channel.
        bias: [128].
    """

    stem: SFaceConvolution
    blocks: tuple[tuple[SFaceConvolution, SFaceConvolution], ...]
    projection: Floats
    bias: Floats


def read_sface(data: bytes) -> SFaceWeights:
    """Read the weights.

    Raises:
        ValueError: the data are not this network.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        graph = onnx.load_from_string(data).graph
        epsilons = {node.input[1]: attribute(node, "epsilon") for node in _nodes(graph, "BatchNormalization")}
        tensors = _tensors(graph)
        projection, bias = _dense(tensors, epsilons)
        stem = _convolution(tensors, epsilons, "conv_1")
        pairs = (
            (_convolution(tensors, epsilons, f"conv_{n}_dw"), _convolution(tensors, epsilons, f"conv_{n}"))
            for n in range(2, _BLOCKS + 2)
        )
        return SFaceWeights(stem, tuple(pairs), projection, bias)
    except (DecodeError, KeyError, ValueError) as error:
        raise ValueError(f"this is not the network SFace: {error}") from error


def _nodes(graph: Any, operator: str) -> list[Any]:
    return [node for node in graph.node if node.op_type == operator]


def _tensors(graph: Any) -> dict[str, Floats]:
    """All weights by the name by which the layers know them, multiplied out where they are quantised."""
    import onnx

    stored = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
    known = weights(graph)
    for node in _nodes(graph, "Reshape"):
        known[node.output[0]] = known[node.input[0]].reshape(stored[node.input[1]])
    return known


def _scale_and_shift(tensors: Tensors, epsilons: Mapping[str, float], name: str) -> tuple[Floats, Floats]:
    """The batch normalisation of this name as a factor and a summand for each channel."""
    gamma = tensors[f"{name}_gamma"]
    scale = gamma / np.sqrt(tensors[f"{name}_moving_var"] + epsilons[f"{name}_gamma"])
    return scale, tensors[f"{name}_beta"] - tensors[f"{name}_moving_mean"] * scale


def _convolution(tensors: Tensors, epsilons: Mapping[str, float], name: str) -> SFaceConvolution:
    scale, shift = _scale_and_shift(tensors, epsilons, f"{name}_batchnorm")
    # ONNX: [channels out, channels in, rows, columns]; a depthwise kernel has one channel in.
    kernel = (tensors[f"{name}_conv2d_weight_reshaped"] * scale[:, None, None, None]).transpose(2, 3, 1, 0)
    if name.endswith("_dw"):
        kernel = kernel.transpose(0, 1, 3, 2)
    return SFaceConvolution(np.ascontiguousarray(kernel), shift, tensors[f"{name}_relu_gamma"].ravel())


def _dense(tensors: Tensors, epsilons: Mapping[str, float]) -> tuple[Floats, Floats]:
    """The last layer, with the normalisations before and behind it."""
    before, shift = _scale_and_shift(tensors, epsilons, "bn1")
    behind, end = _scale_and_shift(tensors, epsilons, "fc1")
    kernel = tensors["pre_fc1_weight_dequantized"].reshape(-1, len(before), _LAST_SIDE, _LAST_SIDE)
    bias = (tensors["pre_fc1_bias_dequantized"] + kernel.sum((2, 3)) @ shift) * behind + end
    kernel = (kernel * before[:, None, None]).transpose(2, 3, 1, 0).reshape(-1, len(behind)) * behind
    return np.ascontiguousarray(kernel), bias
