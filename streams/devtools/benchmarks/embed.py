"""Times the embedding of faces by a model version, in batches of several sizes."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from models.embedder.model import Model
from models.pictures.geometry import Pixels
from streams.devtools.benchmarks.rows import Figures

SIZES = (1, 8, 32)
_ROUNDS = 20
_LEAST_S = 2.0


def measure(model: Model) -> Iterator[Figures]:
    """Embed noise, one batch after another; the fastest batch of each size counts.

    Yields:
        ``model``, ``runtime`` and ``batch``, which grows by one size at a time. onnxruntime is no dependency, so its
        figures are None; docs/models.md has some.
    """
    yield {"model": model.card.version, "runtime": model.runtime}
    model.warm_up()
    size, batch = model.card.chip.size, {}
    for count in SIZES:
        chips = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)
        per_s = count / _fastest_s(model, chips)
        batch[str(count)] = {"images_per_s": round(per_s, 1), "onnxruntime_images_per_s": None, "ratio": None}
        yield {"batch": dict(batch)}
    yield {"onnxruntime": "not measured: it is not installed with facestream"}


def _fastest_s(model: Model, chips: Pixels) -> float:
    fastest, began, rounds = float("inf"), time.perf_counter(), 0
    while rounds < _ROUNDS or time.perf_counter() - began < _LEAST_S:
        start = time.perf_counter()
        model.embed(chips)
        fastest, rounds = min(fastest, time.perf_counter() - start), rounds + 1
    return fastest
