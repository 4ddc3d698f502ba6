"""Reads ONNX weights that are quantised in blocks.

Source: the ONNX operator ``DequantizeLinear`` (opset 21).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def weights(graph: Any) -> dict[str, NDArray[np.float32]]:
    """All weights of an ONNX graph by name, multiplied out where they are quantised.

    Raises:
        KeyError: something is multiplied out that is not stored in the graph.
    """
    import onnx

    stored = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
    known = {name: np.asarray(values, np.float32) for name, values in stored.items() if values.dtype == np.float32}
    for node in graph.node:
        if node.op_type == "DequantizeLinear":
            quantised, scale, zero = (stored[name].astype(np.float32) for name in node.input)
            axis, size = attribute(node, "axis"), attribute(node, "block_size")
            rows = quantised.shape[axis]
            scale, zero = (np.repeat(values, size, axis).take(range(rows), axis) for values in (scale, zero))
            known[node.output[0]] = (quantised - zero) * scale
    return known


def attribute(node: Any, name: str) -> Any:
    """An attribute of a node."""
    import onnx

    return next(onnx.helper.get_attribute_value(one) for one in node.attribute if one.name == name)


def multiplied_out(data: bytes) -> bytes:
    """The same network with plain weights.

    Raises:
        ValueError: the data are not an ONNX network.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_from_string(data)
        plain = weights(model.graph)
    except (DecodeError, KeyError) as error:
        raise ValueError(f"this is not an ONNX network: {error}") from error
    quantised = [node for node in model.graph.node if node.op_type == "DequantizeLinear"]
    for node in quantised:
        model.graph.node.remove(node)
    used = {name for node in model.graph.node for name in node.input}
    kept = [one for one in model.graph.initializer if one.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    for name in (node.output[0] for node in quantised):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.ascontiguousarray(plain[name]), name))
    return bytes(model.SerializeToString())
