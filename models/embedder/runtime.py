"""Sets up TensorFlow, OpenVINO and OpenCV: fewer log lines, no reports of use, and a fixed number of threads."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import cv2

from models.hidden_packages import HiddenPackages

# The pictures of a batch are spread over our own threads, with which OpenCV's would only compete.
cv2.setNumThreads(1)

_log = logging.getLogger(__name__)
_CHATTER = (b"WARNING: All log messages before absl::InitializeLog()", b"I0000 ", b"INFO: Created TensorFlow Lite")


def cores() -> int:
    """The number of cores that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def tensorflow(threads: int | None = None) -> Any:
    """Import TensorFlow without its start-up notes, and set its threads if this is its first use in the process.

    Operations run one after the other, each on ``threads`` cores; None: all that the process may use. On 2 cores this
    was faster than any other split.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with contextlib.nullcontext() if "tensorflow" in sys.modules else _first_import():
        import tensorflow as tf  # type: ignore[import-untyped]
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads or cores())
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        _log.debug("TensorFlow is running already; its number of threads is not changed")
    return tf


def openvino() -> Any | None:
    """Import OpenVINO without its telemetry; None: it is not installed, or has no build for this system.

    OpenVINO reports its first import to its makers where the package openvino-telemetry, on which it depends, is found.
    """
    try:
        with _hidden("openvino_telemetry"):
            import openvino
    except (ImportError, OSError) as error:
        _log.debug("OpenVINO cannot be imported: %s", error)
        return None
    return openvino


def openvino_settings(core: Any, threads: int, *, streams: int = 1, half: bool = False) -> dict[str, Any]:
    """Settings to compile a network for the processor.

    Args:
        core: OpenVINO's.
        threads: for all streams together.
        streams: requests that run at the same time.
        half: compute in bfloat16 where the processor has instructions for it.
    """
    half = half and "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return {
        "INFERENCE_PRECISION_HINT": "bf16" if half else "f32",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": streams,
        # Pinned threads of several workers would share one core while another is idle.
        "ENABLE_CPU_PINNING": False,
    }


@contextlib.contextmanager
def _first_import() -> Iterator[None]:
    # Keras imports scikit-learn and Matplotlib where it finds them, for wrappers and plots that are not used here. They
    # take a third of the time of ``import tensorflow``.
    with _hidden("matplotlib", "pandas", "sklearn"), without_chatter():
        yield


@contextlib.contextmanager
def _hidden(*packages: str) -> Iterator[None]:
    # Other threads may import them meanwhile.
    finder = HiddenPackages(packages, from_others=False)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


@contextlib.contextmanager
def without_chatter() -> Iterator[None]:
    """Drop lines that are known to be harmless from what C++ code writes to stderr.

    TensorFlow 2.21 writes some notes before it reads its log level, and LiteRT has no log level.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            held.seek(0)
            os.write(2, b"".join(line for line in held if not line.startswith(_CHATTER)))
