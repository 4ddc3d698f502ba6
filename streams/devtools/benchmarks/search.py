"""Times searches in the gallery of one user, beside exact searches of other libraries over the same vectors."""

from __future__ import annotations

import gc
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import psutil

from models.matching.gallery import Embedded, Gallery, Vectors
from streams.devtools.benchmarks.rows import Figures

K = 10
_DIMENSIONS = 128
_BATCH = 32
_CHECKED = 20
"""Searches whose answers are compared with those of comparing all templates."""
_NOISE = 0.1
"""Of each dimension of a probe; a vector has the length 1, so its dimensions are of about 0.09."""
_AT_ONCE = 10_000
_FILLED_AT_ONCE = 100
_USER, _VERSION = "bench", "random"
_SCALAR_QUANTIZER = "faiss, 8 bit"

Search = Callable[[Vectors], object]
"""Finds the K nearest templates of each probe [n, dimensions]."""


def measure(templates: int, searches: int, folder: Path | None = None) -> Iterator[Figures]:
    """Search random vectors of length 1, each of a subject of its own; ours and the libraries in turns.

    Args:
        templates: of one user.
        searches: of each kind.
        folder: where a gallery has its vectors of which it keeps only codes in memory; None: all are in memory.

    Yields:
        ``templates``; ``compact``; ``bytes_per_template``, with the ids, by the resident memory of the process;
        ``p50_ms`` and ``p99_ms`` of a search; ``after_change_p50_ms`` of an enrolment and a search;
        ``batch32_ms_per_query`` where 32 are searched at once; ``recall_at_10``; ``libraries``, the p50 of each
        library, and of those that are exact the best, ``best_library_ms``, with ``ratio``, ours by it. faiss and
        usearch are measured where they are installed.
    """
    yield {"templates": templates, "compact": folder is not None}
    random = np.random.default_rng(0)
    vectors = _unit(random, templates)
    picked = vectors[random.integers(0, templates, searches)]
    probes = picked + _NOISE * random.standard_normal(picked.shape, dtype=np.float32)
    probes /= np.linalg.norm(probes, axis=1, keepdims=True)
    gallery, bytes_each = _filled(vectors, folder)
    yield {"bytes_per_template": bytes_each}
    yield {"recall_at_10": _recall(gallery, vectors, probes[:_CHECKED])}

    def ours(some: Vectors) -> object:
        return gallery.nearest(_USER, Embedded(_VERSION, some), K)

    def changed(some: Vectors) -> object:
        gallery.put(_USER, "new", str(uuid.uuid4()), Embedded(_VERSION, some[0]))
        return ours(some)

    libraries = dict(_libraries(vectors))
    times = _in_turns({"ours": ours, "changed": changed, **libraries}, probes)
    medians = {name: _ms(np.median(one)) for name, one in times.items()}
    best = min((name for name in libraries if name != _SCALAR_QUANTIZER), key=lambda name: medians[name])
    yield {
        "p50_ms": medians["ours"],
        "p99_ms": _ms(np.percentile(times["ours"], 99)),
        "after_change_p50_ms": medians["changed"],
        "libraries": {name: medians[name] for name in libraries},
        "best_library": best,
        "best_library_ms": medians[best],
        "ratio": round(float(np.median(times["ours"]) / np.median(times[best])), 3),
    }

    yield {"batch32_ms_per_query": _ms(np.median(_timed(ours, probes, _BATCH)) / _BATCH)}


def _unit(random: np.random.Generator, count: int) -> Vectors:
    vectors = np.empty((count, _DIMENSIONS), np.float32)
    for start in range(0, count, _AT_ONCE):
        part = vectors[start : start + _AT_ONCE]
        random.standard_normal(out=part, dtype=np.float32)
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return vectors


def _filled(vectors: Vectors, folder: Path | None) -> tuple[Gallery, int]:
    """A gallery of these templates, and the memory of each."""
    gallery = Gallery(_VERSION, _DIMENSIONS, folder)
    gc.collect()
    before = psutil.Process().memory_info().rss
    for start in range(0, len(vectors), _FILLED_AT_ONCE):
        part = vectors[start : start + _FILLED_AT_ONCE]
        names = [(_subject(start + place), str(uuid.uuid4())) for place in range(len(part))]
        gallery.fill(_USER, names, Embedded(_VERSION, part))
    gc.collect()
    return gallery, round((psutil.Process().memory_info().rss - before) / len(vectors))


def _subject(number: int) -> str:
    return f"subject-{number}"


def _recall(gallery: Gallery, vectors: Vectors, probes: Vectors) -> float:
    """The share of the nearest templates, by comparing all, that are found."""
    found = 0
    for probe, listed in zip(probes, gallery.nearest(_USER, Embedded(_VERSION, probes), K), strict=True):
        parts = [vectors[start : start + _AT_ONCE] - probe for start in range(0, len(vectors), _AT_ONCE)]
        away = np.concatenate([np.einsum("ij,ij->i", gaps, gaps) for gaps in parts])
        nearest = {_subject(number) for number in np.argsort(away, kind="stable")[:K].tolist()}
        found += len(nearest & {subject for subject, _ in listed})
    return found / (len(probes) * min(K, len(vectors)))


def _libraries(vectors: Vectors) -> Iterator[tuple[str, Search]]:
    halves = np.einsum("ij,ij->i", vectors, vectors) / 2
    last = min(K, len(vectors)) - 1

    def multiplied(probes: Vectors) -> object:
        away = halves - (vectors @ probes[0] if len(probes) == 1 else probes @ vectors.T)
        return np.argpartition(away, last)

    yield "NumPy", multiplied
    try:
        import faiss

        flat = faiss.IndexFlatL2(_DIMENSIONS)
        flat.add(vectors)
        yield "faiss", lambda probes: flat.search(probes, K)
        codes = faiss.IndexScalarQuantizer(_DIMENSIONS, faiss.ScalarQuantizer.QT_8bit)
        codes.train(vectors[: 10 * _AT_ONCE])
        codes.add(vectors)
        yield _SCALAR_QUANTIZER, lambda probes: codes.search(probes, K)
    except ModuleNotFoundError:
        pass
    try:
        from usearch.index import MetricKind, search

        yield "usearch", lambda probes: search(vectors, probes, K, MetricKind.L2sq, exact=True)
    except ModuleNotFoundError:
        pass


def _in_turns(searches: Mapping[str, Search], probes: Vectors) -> dict[str, list[float]]:
    """Seconds of each search; what else the machine does slows all of them alike."""
    times: dict[str, list[float]] = {name: [] for name in searches}
    for number in range(len(probes)):
        for name, search in searches.items():
            times[name] += _timed(search, probes[number : number + 1], 1)
    return times


def _timed(search: Search, probes: Vectors, at_once: int) -> list[float]:
    times = []
    for start in range(0, len(probes) - at_once + 1, at_once):
        some = probes[start : start + at_once]
        began = time.perf_counter()
        search(some)
        times.append(time.perf_counter() - began)
    return times


def _ms(seconds: float | np.floating) -> float:
    return round(1000 * float(seconds), 3)
