from __future__ import annotations

from typing import Any

import pytest

from models.embedder.card import GroupMeasured, Lineage, Measured, Shift
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
        ({"measured": {"degraded": change(0.7, 0.7), "clean": change(0.99, 0.99)}}, "not better in any measurement"),
        ({"measured": {}}, "not better in any measurement"),
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


def group(name: str, worse: float, width: float = 0.05, people: int = 4, fmr_worse: float = 0) -> GroupMeasured:
    def shift(change: float) -> Shift:
        around = (change - width, change + width)
        return Shift(before=0.1, after=0.1 + change, interval=(0, 1), change_interval=around)

    return GroupMeasured(
        by="age",
        group=name,
        pictures="clean",
        people=people,
        genuine_pairs=20,
        impostor_pairs=40,
        fnmr=shift(worse),
        fmr=shift(fmr_worse),
    )


def test_a_group_must_not_pay_for_what_others_gain() -> None:
    [said] = refusals(lineage(groups=[group("young", -0.1), group("old", 0.2)]))
    assert said == "for age old it is worse beyond its interval on clean pictures: FNMR 0.100 before and 0.300 after"
    [said] = refusals(lineage(groups=[group("young", 0, fmr_worse=0.1)]))
    assert "FMR 0.100 before and 0.200 after" in said


@pytest.mark.parametrize(
    "groups",
    [
        [group("old", 0.04)],
        [group("old", 0.2, people=3)],
        [group("old", 0.06), *[group(f"{at}", 0) for at in range(20)]],
    ],
    ids=["within its interval", "too few people", "one of many is worse by chance"],
)
def test_what_is_no_proof_against_a_version(groups: list[GroupMeasured]) -> None:
    assert refusals(lineage(groups=groups)) == []


def test_alone_the_same_loss_is_one() -> None:
    assert len(refusals(lineage(groups=[group("old", 0.06)]))) == 1
