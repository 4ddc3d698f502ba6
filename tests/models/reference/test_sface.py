from __future__ import annotations

import numpy as np
import pytest

from models.embedder import sface_format
from models.embedder.assets import DETECTOR, SFACE
from models.reference.ask_sface import ANSWERS, chips


def test_the_port_gives_the_vectors_of_the_onnx_file() -> None:
    from models.embedder import mobilenet

    network = mobilenet.build(sface_format.read_sface(SFACE.read()))
    vectors, answers = np.asarray(network((chips().astype(np.float32) - 127.5) / 128)), np.load(ANSWERS)["vectors"]
    assert np.abs(vectors - answers / np.linalg.norm(answers, axis=1, keepdims=True)).max() <= 1e-5


@pytest.mark.parametrize("part", [0, 5, 300, 100_000, -1000])
def test_a_cut_off_file_is_not_taken_for_weights(part: int) -> None:
    with pytest.raises(ValueError, match="not the network SFace"):
        sface_format.read_sface(SFACE.read()[:part])


def test_another_file_is_not_taken_for_weights() -> None:
    with pytest.raises(ValueError, match="not the network SFace"):
        sface_format.read_sface(DETECTOR.read())
