"""Keeps frozen networks in the user's cache, so that a process that embeds with OpenVINO need not load TensorFlow.

That takes seconds and 600 MB. An entry is a folder with the graph and with the vectors that TensorFlow computed of some
noise, by which OpenVINO's are checked at each start. Nothing is kept where the cache cannot be written.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import shutil
import tempfile
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.embedder.card import ChipGeometry

GRAPH, VECTORS = "network.pb", "vectors.npy"
MOST, MOST_BYTES = 50, 500_000_000
"""Most networks that are kept, and their most bytes; those that were used last stay. A reference model has 40 MB."""

_MAKERS = (
    "block_quantised.py",
    "graph_cache.py",
    "dlib_format.py",
    "mobilenet.py",
    "resnet.py",
    "serving.py",
    "sface_format.py",
)
_PACKAGES = ("keras", "openvino", "tensorflow", "tensorflow-cpu")

_log = logging.getLogger(__name__)


def folder() -> Path:
    """The folder with the entries: below ``FACESTREAM_CACHE``, or the user's cache."""
    if chosen := os.environ.get("FACESTREAM_CACHE"):
        return Path(chosen).expanduser().absolute() / "networks"
    if caches := os.environ.get("XDG_CACHE_HOME"):
        return Path(caches) / "facestream" / "networks"
    try:
        home = Path.home()
    except RuntimeError:  # neither HOME nor an entry of this user
        home = Path(os.sep)
    return home / ".cache" / "facestream" / "networks"


def entry(weights: str, chip: ChipGeometry) -> Path:
    """The entry of a network, whether it is there or not.

    Args:
        weights: identifies the network's weights and its architecture.
        chip: what is done to chips before the network sees them; that is part of the graph.
    """
    made_of = "\0".join((weights, chip.model_dump_json(), _makers()))
    return folder() / hashlib.sha256(made_of.encode()).hexdigest()[:32]


def read(kept: Path) -> tuple[Path, NDArray[np.float32]] | None:
    """The graph's file, and TensorFlow's vectors of noise [n, dimensions]; None if there is no such entry."""
    try:
        vectors: NDArray[np.float32] = np.load(kept / VECTORS)
        os.utime(kept)
    except (OSError, ValueError, EOFError):
        return None
    return kept / GRAPH, vectors


def write(kept: Path, graph: bytes, vectors: NDArray[np.float32]) -> None:
    """Keep a network, in place of what an earlier process may have left there, and forget those least used."""
    array = io.BytesIO()
    np.save(array, vectors)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".", dir=kept.parent))
        try:
            (partial / GRAPH).write_bytes(graph)
            (partial / VECTORS).write_bytes(array.getvalue())
            shutil.rmtree(kept, ignore_errors=True)
            partial.rename(kept)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        _forget(kept.parent)
    except OSError as error:
        _log.debug("the network is not kept: %s", error)


def _forget(entries: Path) -> None:
    found = []
    for one in entries.iterdir():
        with contextlib.suppress(OSError):  # another process makes or removes it
            found.append((one.stat().st_mtime, (one / GRAPH).stat().st_size, one))
    left = MOST_BYTES
    for place, (_, size, one) in enumerate(sorted(found, reverse=True)):
        left -= size
        if place >= MOST or left < 0:
            shutil.rmtree(one, ignore_errors=True)


@cache
def _makers() -> str:
    """What a graph depends on besides weights: the code that makes it, and the packages."""
    parts = [hashlib.sha256(Path(__file__).with_name(name).read_bytes()).hexdigest() for name in _MAKERS]
    for package in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            parts.append(f"{package} {version(package)}")
    return " ".join(parts)
