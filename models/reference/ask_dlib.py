"""Writes dlib's own outputs for the synthetic pictures: ``python -m models.reference.ask_dlib``.

Only this script needs the extra ``reference`` (dlib).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from models.embedder.assets import RESNET
from models.embedder.dlib_format import CHIP_SIZE
from models.reference import synthetic

ANSWERS = Path(__file__).with_name("dlib.npz")
"""``vectors``: float32 [24, 128] of the chips; ``aligned``: uint8 [5, 150, 150, 3] cut from the photograph."""

_PADDING = 0.25


def main() -> None:
    """Run dlib and write the file."""
    import dlib  # type: ignore[import-not-found]

    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "resnet.dat"
        weights.write_bytes(RESNET.read())
        network = dlib.face_recognition_model_v1(str(weights))
    vectors = [np.array(network.compute_face_descriptor(chip)) for chip in synthetic.chips()]
    photograph = synthetic.photograph()
    aligned = []
    for points in synthetic.placements():
        parts = dlib.points()
        parts.extend([dlib.point(int(x), int(y)) for x, y in points])
        face = dlib.full_object_detection(dlib.rectangle(0, 0, 1, 1), parts)
        aligned.append(dlib.get_face_chip(photograph, face, CHIP_SIZE, _PADDING))
    np.savez_compressed(ANSWERS, vectors=np.stack(vectors).astype(np.float32), aligned=np.stack(aligned))
    print(f"{ANSWERS}: {len(vectors)} vectors and {len(aligned)} chips by dlib {dlib.__version__}")


if __name__ == "__main__":
    main()
