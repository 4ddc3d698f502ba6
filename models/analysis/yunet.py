"""YuNet: a network that sees small faces in a large picture at once.

It runs only in OpenVINO, and is compiled for each size of what it is shown, which takes about 0.15 s: one network for
all sizes takes up to twice as long for a picture.

Source: Wu, Peng and Yu, YuNet: A Tiny Millisecond-level Face Detector (2023), and the OpenCV Zoo's
``face_detection_yunet_2023mar``.
"""

from __future__ import annotations

import functools
import io
import logging
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.embedder import runtime
from models.embedder.assets import YUNET
from models.embedder.block_quantised import multiplied_out
from models.embedder.compiled import CompiledNetwork

_log = logging.getLogger(__name__)

STEP = 32
"""Sides of what is shown are multiples of this."""
_STRIDES = (8, 16, 32)
_MOST_SIZES = 16
"""Most sizes for which the network is kept. Pictures of one shape need four."""

Proposals = NDArray[np.float64]
"""[n, 15]: score, then centre, size, right eye, left eye, tip of the nose and corners of the mouth, each as x, y."""


class YuNet:
    """Sees faces of 10 pixels to about 300; safe to call from several threads."""

    def __init__(self, compiled: Callable[[int, int], CompiledNetwork]) -> None:
        self._compiled = functools.lru_cache(_MOST_SIZES)(compiled)

    @classmethod
    def load(cls) -> YuNet | None:
        """None if OpenVINO is not installed or cannot run the network."""
        openvino = runtime.openvino()
        if openvino is None:
            return None
        try:
            core = openvino.Core()
            # With quantised weights, OpenVINO 2026.4 answers nonsense at times if it runs several requests at once.
            content = multiplied_out(YUNET.read())

            def compiled(rows: int, columns: int) -> CompiledNetwork:
                network = core.read_model(io.BytesIO(content))
                network.reshape({network.input(0): [1, 3, rows, columns]})
                steps = openvino.preprocess.PrePostProcessor(network)
                steps.input().tensor().set_layout(openvino.Layout("NHWC"))
                steps.input().model().set_layout(openvino.Layout("NCHW"))
                steps.input().preprocess().mean(-1.0).scale(1 / 127.5).reverse_channels()
                return CompiledNetwork(core, steps.build())

            compiled(STEP, STEP)
            return cls(compiled)
        except (RuntimeError, ValueError, TypeError) as why:
            _log.warning("OpenVINO cannot run YuNet, so large pictures are searched in tiles: %s", why)
            return None

    def __call__(self, shown: NDArray[np.float32], least: float) -> Proposals:
        """Find faces, not merged, in pixels of what is shown.

        Args:
            shown: RGB [rows, columns, 3], from -1 to 1. Rows and columns are multiples of ``STEP``.
            least: lowest score.
        """
        outputs = [one[0] for one in self._compiled(*shown.shape[:2])(shown[None])]
        found = []
        for level, stride in enumerate(_STRIDES):
            classes, objects, boxes, points = outputs[level::3]
            found.append(_decoded(classes, objects, boxes, points, shown.shape[1] // stride, stride, least))
        return np.concatenate(found)


def _decoded(
    classes: NDArray[np.float32],
    objects: NDArray[np.float32],
    boxes: NDArray[np.float32],
    points: NDArray[np.float32],
    columns: int,
    stride: int,
    least: float,
) -> Proposals:
    """The proposals of one feature map, given its values for each cell.

    Args:
        classes: [n, 1], how much it looks like a face.
        objects: [n, 1], how well the box fits.
        boxes: [n, 4], offset of the centre in cells, logarithm of the size in cells.
        points: [n, 10], offsets in cells.
        columns: cells in a row.
        stride: pixels of a cell's side.
        least: lowest score.
    """
    scores = np.sqrt(np.clip(classes[:, 0], 0, 1) * np.clip(objects[:, 0], 0, 1))
    good = np.flatnonzero(scores >= least)
    cells = np.stack([good % columns, good // columns], -1)
    return np.column_stack(
        [
            scores[good],
            (cells + boxes[good, :2]) * stride,
            np.exp(boxes[good, 2:].astype(np.float64)) * stride,
            (np.tile(cells, 5) + points[good]) * stride,
        ]
    )
