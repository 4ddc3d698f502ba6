"""When a version that is tried must not go on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streams.rollout.gates import Gates, violations
from streams.rollout.report import Report, VersionFigures

SAME = VersionFigures(unknown_rate=0.1, margin=0.4)
GOOD = Report("v2", "v1", 1_000, 1_000, 0.01, SAME, SAME, 5_000, 180.0, 0.0)


def test_one_that_does_as_well_goes_on() -> None:
    assert violations(GOOD, GOOD, Gates()) == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"disagreement": 0.1}, "it disagrees with v1 on 10.0% of 1000 faces, more than 5.0%"),
        ({"new": VersionFigures(0.2, 0.4)}, "20.0% of the faces are unknown to it, 10.0% to v1"),
        ({"new": VersionFigures(0.1, 0.2)}, "its mean margin is 0.200, that of v1 0.400"),
        ({"p99_ms": 300.0}, "99 of 100 frames are answered within 300 ms, which is more than 270 ms"),
        ({"error_rate": 0.02}, "2.00% of the frames fail, 0.00% before"),
    ],
)
def test_one_that_is_worse_is_stopped_and_told_why(change: dict[str, object], why: str) -> None:
    assert violations(replace(GOOD, **change), GOOD, Gates()) == [why]  # type: ignore[arg-type]


def test_few_frames_prove_nothing() -> None:
    few = replace(
        GOOD, faces=5, answered=5, disagreement=0.2, new=VersionFigures(0.4, 0.1), p99_ms=9_000.0, error_rate=0.2
    )
    assert violations(few, GOOD, Gates()) == []
    none = Report("v2", "", 0, 0, 0.0, VersionFigures(0.0, None), VersionFigures(0.0, None), 0, None, 0.0)
    assert violations(none, none, Gates()) == []
