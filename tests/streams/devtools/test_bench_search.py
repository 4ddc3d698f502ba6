from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from streams.devtools.benchmarks import search
from streams.devtools.benchmarks.rows import NOT_MEASURED, merge


def measured(templates: int, folder: Path | None = None) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for found in search.measure(templates, 40, folder):
        merge(result, found)
    assert NOT_MEASURED not in result
    return result


def test_every_figure_is_measured_without_the_other_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("faiss", "usearch", "usearch.index"):
        monkeypatch.setitem(sys.modules, name, None)
    result = measured(3000)
    assert result["recall_at_10"] == 1.0
    assert list(result["libraries"]) == ["NumPy"]
    assert result["best_library"] == "NumPy"
    assert result["ratio"] == pytest.approx(result["p50_ms"] / result["best_library_ms"], rel=0.05)
    assert result["p99_ms"] >= result["p50_ms"] > 0
    assert result["templates"] == 3000
    assert min(result["after_change_p50_ms"], result["batch32_ms_per_query"]) > 0
    assert isinstance(result["bytes_per_template"], int)


def test_a_compact_gallery_takes_less_memory_and_misses_nothing(tmp_path: Path) -> None:
    result = measured(40_000, tmp_path)
    assert result["compact"]
    assert result["recall_at_10"] == 1.0
    # 199 in a gallery of a million. Among 40,000, each megabyte that Python takes meanwhile counts for 26 bytes more;
    # the vectors alone would be 512.
    assert 128 <= result["bytes_per_template"] <= 400


def test_a_gallery_that_misses_one_has_less_recall(monkeypatch: pytest.MonkeyPatch) -> None:
    nearest = search.Gallery.nearest

    def misses(gallery: search.Gallery, user_id: str, probes: search.Embedded, k: int) -> Any:
        return [answer[1:] for answer in nearest(gallery, user_id, probes, k)]

    monkeypatch.setattr(search.Gallery, "nearest", misses)
    assert measured(200)["recall_at_10"] == 0.9
