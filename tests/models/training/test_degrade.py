from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.pictures.geometry import Pixels
from models.reference import synthetic
from models.training.degrade import POOR, TRAINING, Conditions, degrade, occlude

CHIP = synthetic.chips()[12]
GOOD = Conditions(
    face=(100, 100), blur=(0, 0), motion=(0, 0), light=(1, 1), gain=(0, 0), gamma=(1, 1), noise=(0, 0), jpeg=(100, 100)
)


def made(conditions: Conditions, seed: int = 0, chip: Pixels = CHIP) -> Pixels:
    return degrade(chip, conditions, np.random.default_rng(seed))


def detail(chip: Pixels) -> float:
    return float(cv2.Laplacian(cv2.cvtColor(chip, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.sampled_from([POOR, TRAINING]))
def test_the_same_seed_gives_the_same_picture(seed: int, conditions: Conditions) -> None:
    one = made(conditions, seed)
    assert one.shape == CHIP.shape
    assert one.dtype == np.uint8
    assert np.array_equal(one, made(conditions, seed))


def test_another_seed_gives_another_picture() -> None:
    assert not np.array_equal(made(POOR, 1), made(POOR, 2))


def test_a_good_camera_changes_next_to_nothing() -> None:
    assert np.abs(made(GOOD).astype(int) - CHIP).mean() < 2


@pytest.mark.parametrize(
    "conditions",
    [replace(GOOD, face=(24, 24)), replace(GOOD, blur=(2, 2)), replace(GOOD, motion=(9, 9))],
    ids=["few pixels", "out of focus", "moved"],
)
def test_detail_is_lost(conditions: Conditions) -> None:
    assert detail(made(conditions)) < 0.7 * detail(CHIP)


def test_little_light_is_dark_and_gain_brings_it_back() -> None:
    dark = made(replace(GOOD, light=(0.2, 0.2))).mean()
    assert dark < 0.3 * CHIP.mean()
    assert made(replace(GOOD, light=(0.2, 0.2), gain=(0.8, 0.8))).mean() > 2 * dark


def test_noise_and_compression_leave_their_marks() -> None:
    flat = np.full_like(CHIP, 128)
    assert made(replace(GOOD, noise=(10, 10)), chip=flat).std() > 5
    assert np.abs(made(replace(GOOD, jpeg=(10, 10))).astype(int) - CHIP).mean() > 2


def test_a_part_is_covered() -> None:
    changed = (occlude(CHIP, np.random.default_rng(4)) != CHIP).any(axis=2).mean()
    assert 0.005 < changed < 0.17
