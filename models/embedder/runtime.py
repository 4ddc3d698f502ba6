"""TensorFlow and OpenCV as this project uses them: quiet, and with a fixed number of threads."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import cv2

# The pictures of a batch are spread over our threads: OpenCV's own would only fight with them.
cv2.setNumThreads(1)

_log = logging.getLogger(__name__)
_CHATTER = (b"WARNING: All log messages before absl::InitializeLog()", b"I0000 ", b"INFO: Created TensorFlow Lite")


def cores() -> int:
    """The number of cores that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def tensorflow(threads: int | None = None) -> Any:
    """Import TensorFlow without its start-up notes, and fix its threads if this is the first use of the process.

    Operations run one after the other, each on ``threads`` cores (None: all that the process may use): on 2 cores that
    was faster than every other split.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with contextlib.nullcontext() if "tensorflow" in sys.modules else without_chatter():
        import tensorflow as tf  # type: ignore[import-untyped]
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads or cores())
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        _log.debug("TensorFlow is running already; its threads stay as they are")
    return tf


@contextlib.contextmanager
def without_chatter() -> Iterator[None]:
    """Filter what C++ code writes to stderr: lines that are known to be harmless are dropped.

    TensorFlow 2.21 writes some notes before it reads its own log level, and LiteRT has none.
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
