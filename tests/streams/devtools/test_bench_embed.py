from __future__ import annotations

import pytest

from models.embedder.model import Model
from models.embedder.references import FAST
from streams.devtools.benchmarks import embed
from streams.devtools.benchmarks.rows import merge


def test_each_batch_size_has_its_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed, "_ROUNDS", 1)
    monkeypatch.setattr(embed, "_LEAST_S", 0.0)
    model, result = Model.load(FAST), {}
    for found in embed.measure(model):
        merge(result, found)
    assert (result["model"], result["runtime"]) == (model.card.version, model.runtime)
    assert list(result["batch"]) == ["1", "8", "32"]
    for row in result["batch"].values():
        assert row["images_per_s"] > 0
        assert (row["onnxruntime_images_per_s"], row["ratio"]) == (None, None)
