from __future__ import annotations

from typing import Any

import pytest

from models.analysis.blazeface import BlazeFace
from streams.devtools.benchmarks import detect
from streams.devtools.benchmarks.rows import merge


def test_each_picture_has_its_time_by_stage() -> None:
    real = BlazeFace.__call__
    result: dict[str, Any] = {}
    for found in detect.measure(1, [(320, 240)]):
        merge(result, found)
    assert result["yardstick_ms"] > 0
    face, nobody = result["pictures"]
    assert (face["size"], face["shows"], face["faces"]) == ("320x240", "a face", 1)
    assert (nobody["size"], nobody["shows"], nobody["faces"]) == ("320x240", "nobody", 0)
    for row in (face, nobody):
        assert sum(row["stages"].values()) == pytest.approx(row["ms"], abs=0.3)
    assert face["stages"]["mesh"] > 0
    assert nobody["stages"]["mesh"] == 0
    assert nobody["stages"]["blazeface"] > 0
    assert BlazeFace.__call__ is real
