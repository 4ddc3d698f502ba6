from __future__ import annotations

from typing import Any

import pytest

from models.card import Lineage, Measured
from models.training.gate import refusals


def change(before: float, after: float, width: float = 0.02) -> Measured:
    gain = after - before
    around = (gain - width, gain + width)
    return Measured(
        before=before, after=after, interval=(after - width, after + width), gain=gain, gain_interval=around
    )


def lineage(**changed: Any) -> Lineage:
    good: dict[str, Any] = {
        "parent": "v1",
        "mode": "full",
        "people": 20,
        "chips": 200,
        "people_tested": 6,
        "digest": "0" * 64,
        "measured": {"degraded": change(0.7, 0.8), "clean": change(0.99, 0.99)},
        "latency_ratio": 1.1,
    }
    return Lineage(**(good | changed))


def test_a_better_version_passes() -> None:
    assert refusals(lineage()) == []


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"people": 9}, "9 people, fewer than 10"),
        ({"chips": 49}, "49 faces, fewer than 50"),
        ({"people_tested": 3}, "measured on 3 people"),
        ({"latency_ratio": 1.21}, "1.21 times as long"),
        ({"latency_ratio": None}, "not measured"),
        ({"latency_ratio": float("nan")}, "nan times"),
        ({"measured": {"degraded": change(0.8, 0.7), "clean": change(0.9, 0.95)}}, "on degraded pictures it is worse"),
        ({"measured": {"degraded": change(0.7, 0.8), "clean": change(0.99, 0.98)}}, "on clean pictures it loses 0.010"),
        ({"measured": {"degraded": change(0.7, 0.7), "clean": change(0.99, 0.99)}}, "better at nothing"),
        ({"measured": {}}, "better at nothing"),
    ],
)
def test_every_refusal_says_why(changed: dict[str, Any], reason: str) -> None:
    [said] = refusals(lineage(**changed))
    assert reason in said


def test_worse_within_its_interval_is_let_pass() -> None:
    measured = {"degraded": change(0.8, 0.79, width=0.05), "clean": change(0.9, 0.91)}
    assert refusals(lineage(measured=measured)) == []


def test_all_reasons_are_given() -> None:
    assert len(refusals(lineage(people=1, chips=1, latency_ratio=2.0))) == 3
