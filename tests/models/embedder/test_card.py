from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.embedder.card import CARD_FILE, Card, UnknownThreshold, UnusableModel
from models.embedder.references import FAST, Reference
from models.evaluation.calibration import Strangers, curve, share, thresholds
from models.reference.make_card import STRANGERS, reference_card

CARD = Card.read(FAST)


@pytest.mark.parametrize("reference", Reference)
def test_a_reference_card_is_the_one_that_the_script_writes(reference: Reference) -> None:
    assert reference_card(reference) == Card.read(reference.folder)


@given(st.floats(0, 2), st.floats(0, 2))
def test_a_smaller_distance_never_stands_for_more_false_matches(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert 0 < CARD.fmr(low) <= CARD.fmr(high) <= 1
    assert 1 >= CARD.similarity(low) >= CARD.similarity(high) >= 0


@given(st.floats(0.35, 0.9))
def test_distance_is_the_inverse_of_fmr(distance: float) -> None:
    assert CARD.distance(CARD.fmr(distance)) == pytest.approx(distance, abs=1e-6)


@pytest.mark.parametrize("reference", Reference)
def test_threshold_sets_keep_their_rate_and_not_much_more(reference: Reference) -> None:
    card = Card.read(reference.folder)
    for name, distance in card.thresholds.items():
        target = float(name.removeprefix("fmr-"))
        assert 0.9 * target < card.fmr(distance) < 1.15 * target
    assert card.threshold() == card.threshold("fmr-1e-3")


def test_similarity_ends() -> None:
    assert CARD.similarity(0) == 1
    assert CARD.similarity(CARD.distance(0.5)) == 0
    assert CARD.similarity(3) == 0


def test_an_unknown_threshold_set_is_named_with_those_there_are() -> None:
    with pytest.raises(UnknownThreshold, match=r"fmr-1e-7.*fmr-1e-4"):
        CARD.threshold("fmr-1e-7")


@pytest.mark.parametrize(
    "changed",
    [
        {"fmr_curve": [[0.5, 0.1], [0.4, 0.2]]},
        {"fmr_curve": [[0.5, 0.2], [0.6, 0.1]]},
        {"fmr_curve": [[0.5, 0.0], [0.6, 0.1]]},
        {"default_threshold": "none"},
        {"version": ""},
        {"unheard_of": 1},
    ],
)
def test_a_card_that_does_not_hold_together(tmp_path: Path, changed: dict[str, Any]) -> None:
    written = Card.model_construct(**(CARD.model_dump() | changed))
    (tmp_path / CARD_FILE).write_text(written.model_dump_json(warnings=False) if "unheard_of" not in changed else "{}")
    with pytest.raises(UnusableModel, match="card"):
        Card.read(tmp_path)


def test_a_folder_without_a_card(tmp_path: Path) -> None:
    with pytest.raises(UnusableModel, match="no model card"):
        Card.read(tmp_path)


def test_strangers_are_measured_and_every_kind_counts_alike() -> None:
    measured = Strangers.of([0.7, 0.8, 0.9])
    assert measured.mean == pytest.approx(0.8)
    assert measured.fmr(0.8) == pytest.approx(0.5)
    kinds = [Strangers(0.7, 0.05), Strangers(0.9, 0.05)]
    two = curve(lambda distance: share(kinds, distance))
    assert dict(two)[0.8] == pytest.approx(0.5, abs=1e-3)
    assert all(a < b for (_, a), (_, b) in pairwise(two))


@pytest.mark.parametrize("kinds", STRANGERS.values())
def test_thresholds_are_on_the_strict_side(kinds: tuple[Strangers, ...]) -> None:
    for name, distance in thresholds(kinds).items():
        rate = float(name.removeprefix("fmr-"))
        assert math.fsum(kind.fmr(distance) for kind in kinds) / len(kinds) <= rate
