"""BlazeFace full range: the network that detects faces in squares of 192 pixels.

Source: Bazarevsky et al., BlazeFace (2019), and MediaPipe's ``face_detection_full_range`` graph.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.embedder import runtime
from models.embedder.assets import DETECTOR
from models.embedder.compiled import CompiledNetwork
from models.embedder.litert import LiteModel

_log = logging.getLogger(__name__)

SIDE = 192
_CELLS = 48
_MAX_ERROR = 0.5
"""Largest deviation of a score's logit in bfloat16; on noise, it was 0.16."""
_MAX_EXACT_ERROR = 0.01
"""The same in float32; on noise, it was 0.00002."""

Found = NDArray[np.float64]
"""Detections [n, 17]: score, then centre, size and six points, each as x, y."""


class BlazeFace:
    """Sees faces of at least 14 pixels; safe to call from several threads."""

    def __init__(self) -> None:
        lite = LiteModel(DETECTOR.read())
        self._model: LiteModel | CompiledNetwork = _in_openvino(lite, half=False) or lite
        self._quick = _in_openvino(lite, half=True) or self._model
        cells = (np.arange(_CELLS) + 0.5) * (SIDE / _CELLS)
        self._middles = np.stack(np.meshgrid(cells, cells), -1).reshape(-1, 1, 2)

    def __call__(self, shown: NDArray[np.float32], least: float, *, quickly: bool = False) -> Found:
        """Find faces, not merged, in pixels of what is shown.

        Args:
            shown: [192, 192, 3], from -1 to 1.
            least: lowest score.
            quickly: in three quarters of the time, in bfloat16, where the processor has instructions for it.
        """
        boxes, logits = (self._quick if quickly else self._model)(shown[None])
        good = np.flatnonzero(logits[0, :, 0] > np.log(least / (1 - least)))
        found = np.empty((good.size, 17))
        found[:, 0] = 1 / (1 + np.exp(-logits[0, good, 0].astype(np.float64)))
        found[:, 1:] = boxes[0, good]
        # The size is no place.
        found[:, [1, 2]] += self._middles[good, 0]
        found[:, 5:] += np.tile(self._middles[good, 0], 6)
        return found


def _in_openvino(model: LiteModel, *, half: bool) -> CompiledNetwork | None:
    """The network in OpenVINO; None where it has none of this precision, or does not see what ``model`` sees."""
    openvino = runtime.openvino()
    if openvino is None:
        return None
    try:
        core = openvino.Core()
        # OpenVINO reads TensorFlow Lite's models from files only.
        with tempfile.TemporaryDirectory(prefix="facestream-") as folder:
            path = Path(folder) / "detector.tflite"
            path.write_bytes(DETECTOR.read())
            found = CompiledNetwork(core, core.read_model(path), half=half)
        noise = np.random.default_rng(0).uniform(-1, 1, (1, SIDE, SIDE, 3)).astype(np.float32)
        error = np.abs(found(noise)[1] - model(noise)[1]).max()
    except (OSError, RuntimeError, ValueError, TypeError) as why:
        _log.warning("OpenVINO cannot run the detector, LiteRT runs it: %s", why)
        return None
    if not error <= (_MAX_ERROR if half else _MAX_EXACT_ERROR):
        _log.warning("OpenVINO is off by %.2g with the detector, so LiteRT runs it", error)
        return None
    return found if found.half == half else None
