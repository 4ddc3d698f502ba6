"""Turns a Keras network into a function of chips: OpenVINO runs it where it can, and TensorFlow elsewhere.

docs/models.md lists what was tried.
"""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.embedder import graph_cache, runtime
from models.embedder.card import ChipGeometry
from models.pictures.geometry import Pixels

_log = logging.getLogger(__name__)

Vectors = NDArray[np.float32]
_Function = Callable[[Pixels], Vectors]

_BATCHES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
LARGEST_BATCH = _BATCHES[-1]

_FLOAT32_ERROR, _BFLOAT16_ERROR = 1e-3, 0.1
"""Largest deviation from TensorFlow's vectors of noise, relative to their length."""


@dataclass(frozen=True, slots=True)
class _Runtime:
    name: str
    function: _Function


class ServedNetwork:
    """A network that is ready to embed. Safe to call from several threads; a vector does not depend on its batch.

    Attributes:
        runtime: what runs it, for people to read.
    """

    def __init__(self, chosen: _Runtime, size: int) -> None:
        self.runtime = chosen.name
        self._function = chosen.function
        self._size = size
        self._lock = threading.Lock()

    def __call__(self, chips: Pixels) -> Vectors:
        """The vectors of chips [n, size, size, 3], at most ``LARGEST_BATCH``."""
        # Batches are padded to few sizes, because the runtimes prepare and keep kernels for each size.
        count = len(chips)
        if padding := next(size for size in _BATCHES if size >= count) - count:
            chips = np.concatenate([chips, np.zeros((padding, *chips.shape[1:]), np.uint8)])
        # One batch at a time: two at once would only compete for the runtime's threads.
        with self._lock:
            return self._function(np.ascontiguousarray(chips))[:count]

    def warm_up(self) -> None:
        """Run every batch size once, because the first run of each takes up to a tenth of a second longer."""
        for count in _BATCHES:
            self(np.zeros((count, self._size, self._size, 3), np.uint8))


def serve(
    tf: Any,
    chip: ChipGeometry,
    network: Any,
    *,
    threads: int | None = None,
    half: bool = False,
    kept: Path | None = None,
) -> ServedNetwork:
    """Make a network ready to embed.

    Args:
        tf: TensorFlow.
        chip: size of the chips, and what is done to them before the network sees them.
        network: a function of prepared chips, such as a Keras model.
        threads: cores for OpenVINO; None: all that the process may use.
        half: compute in bfloat16 where the processor has instructions for it.
        kept: entry of the cache in which it is kept for :func:`serve_kept` if OpenVINO runs it.

    Raises:
        ValueError: the network does not take such chips; likewise TypeError and TensorFlow's OpError.
    """
    frozen = _frozen(tf, chip, network)
    by_tensorflow = _Runtime(f"TensorFlow {tf.__version__}", lambda chips: frozen(tf.constant(chips))[0].numpy())
    wanted = by_tensorflow.function(_noise(chip))
    graph: bytes = frozen.graph.as_graph_def().SerializeToString()
    # OpenVINO reads frozen graphs from files only.
    with tempfile.TemporaryDirectory(prefix="facestream-") as folder:
        path = Path(folder) / graph_cache.GRAPH
        path.write_bytes(graph)
        chosen = _by_openvino(path, threads or runtime.cores(), half, _noise(chip), wanted)
    if chosen and kept:
        graph_cache.write(kept, graph, wanted)
    return ServedNetwork(chosen or by_tensorflow, chip.size)


def serve_kept(
    kept: Path, chip: ChipGeometry, *, threads: int | None = None, half: bool = False
) -> ServedNetwork | None:
    """Make a network ready to embed without TensorFlow; None if it is not kept, or OpenVINO cannot run it."""
    if (found := graph_cache.read(kept)) is None:
        return None
    path, wanted = found
    chosen = _by_openvino(path, threads or runtime.cores(), half, _noise(chip), wanted)
    return ServedNetwork(chosen, chip.size) if chosen else None


def _noise(chip: ChipGeometry) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (2, chip.size, chip.size, 3), np.uint8)


def _frozen(tf: Any, chip: ChipGeometry, network: Any) -> Any:
    """A function of uint8 chips with its weights as constants, which runtimes lay out once instead of at every call."""
    from tensorflow.python.framework.convert_to_constants import (  # type: ignore[import-untyped]
        convert_variables_to_constants_v2,
    )

    mean, scale = tf.constant(chip.mean), chip.scale
    signature = [tf.TensorSpec([None, chip.size, chip.size, 3], tf.uint8)]

    @tf.function(autograph=False, input_signature=signature)  # type: ignore[untyped-decorator]
    def embed(chips: Any) -> Any:
        return network((tf.cast(chips, tf.float32) - mean) * scale)

    return convert_variables_to_constants_v2(embed.get_concrete_function())


def _by_openvino(graph: Path, threads: int, half: bool, noise: Pixels, wanted: Vectors) -> _Runtime | None:
    """OpenVINO with the graph of a file; None if it is not installed, or has other vectors of noise than wanted."""
    openvino = runtime.openvino()
    if openvino is None:
        return None
    try:
        core = openvino.Core()
        settings = runtime.openvino_settings(core, threads, half=half)
        half = settings["INFERENCE_PRECISION_HINT"] == "bf16"
        compiled = core.compile_model(core.read_model(graph), "CPU", settings)
        request = compiled.create_infer_request()

        def function(chips: Pixels) -> Vectors:
            vectors: Vectors = request.infer([chips])[0]
            return vectors

        error = np.linalg.norm(function(noise) - wanted, axis=1) / np.maximum(np.linalg.norm(wanted, axis=1), 1e-12)
    except (OSError, RuntimeError, ValueError, TypeError) as why:
        _log.warning("OpenVINO cannot run this network, TensorFlow does: %s", why)
        return None
    if not error.max() <= (_BFLOAT16_ERROR if half else _FLOAT32_ERROR):
        _log.warning("OpenVINO is off by %.2g with this network, so TensorFlow runs it", error.max())
        return None
    version = openvino.__version__.partition("-")[0]
    return _Runtime(f"OpenVINO {version}, {'bfloat16' if half else 'float32'}", function)
