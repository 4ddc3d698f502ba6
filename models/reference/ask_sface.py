"""Asks ONNX's own evaluator for SFace's vectors, for comparison: ``python -m models.reference.ask_sface`` (minutes)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from models.embedder.assets import SFACE
from models.embedder.sface_format import CHIP_SIZE
from models.pictures.geometry import Pixels
from models.reference import synthetic

ANSWERS = Path(__file__).with_name("sface.npz")
"""``vectors``: float32 [24, 128] of the chips, as the network gives them: not scaled to length 1."""


def chips() -> Pixels:
    """Pictures [24, 112, 112, 3] to use as aligned faces: the middles of the synthetic ones."""
    whole = synthetic.chips()
    start = (whole.shape[1] - CHIP_SIZE) // 2
    return whole[:, start : start + CHIP_SIZE, start : start + CHIP_SIZE]


def main() -> None:
    """Write the file."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    network = ReferenceEvaluator(onnx.load_from_string(SFACE.read()))
    shown = chips().astype(np.float32).transpose(0, 3, 1, 2)
    answers: list[Any] = [network.run(None, {"data": chip[None]}) for chip in shown]
    np.savez_compressed(ANSWERS, vectors=np.concatenate([vectors for (vectors,) in answers]).astype(np.float32))


if __name__ == "__main__":
    main()
