from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from models.embedder.assets import YUNET
from models.embedder.block_quantised import multiplied_out


def test_the_network_is_the_same_with_plain_weights() -> None:
    data = YUNET.read()
    plain = multiplied_out(data)
    assert not [one for one in onnx.load_from_string(plain).graph.node if one.op_type == "DequantizeLinear"]
    picture = {"input": np.random.default_rng(0).uniform(0, 255, (1, 3, 640, 640)).astype(np.float32)}
    wanted = ReferenceEvaluator(data).run(["cls_32", "bbox_32"], picture)
    given = ReferenceEvaluator(plain).run(["cls_32", "bbox_32"], picture)
    for one, other in zip(wanted, given, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_rubbish_is_no_network() -> None:
    with pytest.raises(ValueError, match="not an ONNX network"):
        multiplied_out(b"rubbish")
