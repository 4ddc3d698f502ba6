"""Builds a network in another process, so that one that embeds with OpenVINO for weeks never holds TensorFlow.

TensorFlow takes 600 MB of memory, which a process does not give back once it has imported it.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

from models.embedder import graph_cache, runtime
from models.embedder.model import Model, kept_entry

_TIMEOUT_S = 600.0

_log = logging.getLogger(__name__)


def load(folder: Path, *, threads: int | None = None) -> Model:
    """Load a model version like :meth:`Model.load`; what must be built first is built in a process that then ends.

    Raises:
        UnusableModel, MissingWeights: see there.
    """
    if _must_be_built(folder):
        _build(folder)
    return Model.load(folder, threads=threads)


def _must_be_built(folder: Path) -> bool:
    if "tensorflow" in sys.modules or runtime.openvino() is None:
        return False
    entry = kept_entry(folder)
    return entry is not None and graph_cache.read(entry) is None and _is_writable(entry.parent)


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def _build(folder: Path) -> None:
    """Have the network kept; where that fails, loading it says why, or does without."""
    words = [sys.executable, "-m", "models.embedder.building", str(folder)]
    try:
        subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        _log.debug("%s is not built in another process: %s", folder, error)


if __name__ == "__main__":
    Model.load(Path(sys.argv[1]))
