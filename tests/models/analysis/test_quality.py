from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.analysis.aligner import Aligner
from models.analysis.covering import Covering
from models.analysis.quality import PROBE, TEMPLATE, Limits, blockiness, measure, refusal
from models.embedder.card import ChipGeometry
from models.pictures.decoder import decode
from models.pictures.geometry import MEAN_FACE, Pixels
from models.reference import synthetic
from schemas.parts import Quality, Refusal
from schemas.reasons import Reason
from tests.models.sample_pictures import jpeg

GOOD = Quality(score=0.9, size=60, sharpness=200, brightness=0.5, yaw=5, overall=1)
SHARP = synthetic.chips()[12]


@pytest.mark.parametrize("limits", [PROBE, TEMPLATE])
@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, None),
        ({"score": 0.3}, Reason.LOW_SCORE),
        ({"size": 9.0}, Reason.TOO_SMALL),
        ({"sharpness": 3.0}, Reason.TOO_BLURRED),
        ({"brightness": 0.02}, Reason.TOO_DARK),
        ({"brightness": 0.95}, Reason.TOO_BRIGHT),
        ({"yaw": 80.0}, Reason.TURNED_AWAY),
        ({"yaw": -80.0}, Reason.TURNED_AWAY),
        # The same blur leaves less variance in the dark.
        ({"brightness": 0.1, "sharpness": 3.0}, None),
    ],
)
def test_each_limit_has_its_reason(limits: Limits, changed: dict[str, float], reason: Reason | None) -> None:
    assert refusal(replace(GOOD, **changed), limits) == reason


def test_light_that_has_washed_out_all_edges_is_not_called_blur() -> None:
    assert refusal(replace(GOOD, brightness=0.9, sharpness=3.0), PROBE) == Reason.TOO_BRIGHT


@pytest.mark.parametrize("limits", [PROBE, TEMPLATE])
def test_half_a_face_is_none(limits: Limits) -> None:
    assert refusal(GOOD, limits, inside=0.5) == Reason.CUT_OFF
    assert refusal(GOOD, limits, inside=0.7) is None


def test_what_lies_outside_the_picture_is_neither_dark_nor_sharp() -> None:
    picture = np.full((100, 100, 3), 230, np.uint8)
    aligner, points = Aligner(ChipGeometry(size=150, padding=0.25)), MEAN_FACE * 100 - 20
    within = aligner.inside(picture, points)
    assert within is not None
    assert 0.4 < within.mean() < 0.9
    quality = measure(aligner.align(picture, points), points, score=0.9, yaw=0, inside=within)
    assert quality.sharpness == 0
    assert quality.brightness == pytest.approx(230 / 255, abs=0.01)
    assert aligner.inside(np.zeros((900, 900, 3), np.uint8), MEAN_FACE * 100 + 400) is None


def test_what_is_too_poor_for_a_probe_is_too_poor_for_a_template() -> None:
    assert TEMPLATE.score >= PROBE.score
    assert TEMPLATE.size >= PROBE.size
    assert TEMPLATE.sharpness >= PROBE.sharpness
    assert TEMPLATE.darkest >= PROBE.darkest
    assert TEMPLATE.brightest <= PROBE.brightest
    assert TEMPLATE.yaw <= PROBE.yaw
    assert TEMPLATE.covered <= PROBE.covered
    assert TEMPLATE.inside >= PROBE.inside


def measured(chip: np.ndarray, width: float = 150) -> Quality:
    return measure(chip, MEAN_FACE * width, score=0.9, yaw=0)


def test_what_is_measured() -> None:
    quality = measured(SHARP)
    assert quality.size == pytest.approx(0.5254 * 150, abs=0.1)
    assert quality.brightness == pytest.approx(SHARP.mean() / 255, abs=0.02)
    assert measured(np.full((150, 150, 3), 51, np.uint8)).sharpness == 0
    assert measured(np.full((150, 150, 3), 51, np.uint8)).brightness == pytest.approx(0.2)


def test_blur_and_dark_lower_the_overall_quality() -> None:
    small, dark = measured(SHARP, 30), measured(SHARP // 8)
    assert small.overall < measured(SHARP).overall
    assert dark.overall < measured(SHARP).overall


def test_a_covered_face_is_a_probe_but_no_template() -> None:
    masked = replace(GOOD, covered=0.97, covered_part="mouth")
    assert refusal(masked, TEMPLATE) == Reason.COVERED
    assert refusal(masked, PROBE) is None
    assert refusal(replace(GOOD, covered=0.1), TEMPLATE) is None


@pytest.mark.parametrize(
    ("chip", "width"),
    [(SHARP, 9), (np.full_like(SHARP, 120), 150), (SHARP // 24, 150), (255 - (255 - SHARP) // 4, 150)],
)
def test_what_covers_a_tiny_blurred_dark_or_bright_face_no_one_can_tell(chip: np.ndarray, width: float) -> None:
    covering = Covering(eyes=0.2, mouth=0.9)
    clear = measure(SHARP, MEAN_FACE * 150, score=0.9, yaw=0, covering=covering)
    assert (clear.covered, clear.covered_part) == (0.9, "mouth")
    poor = measure(chip, MEAN_FACE * width, score=0.9, yaw=0, covering=covering)
    assert (poor.covered, poor.covered_part) == (None, None)


def compressed(quality: int, pixels: Pixels = SHARP) -> Pixels:
    raster = decode(jpeg(pixels, quality=quality), max_bytes=10**6, max_pixels=10**6)
    assert not isinstance(raster, Refusal)
    return raster.pixels


def test_the_harder_a_picture_is_compressed_the_more_its_blocks_show() -> None:
    shown = [blockiness(pixels, 75, 75) or 0 for pixels in (SHARP, *(compressed(quality) for quality in (50, 20, 5)))]
    assert abs(shown[0]) < 0.1
    assert shown == sorted(shown)
    assert shown[2] > 0.5
    again = blockiness(compressed(97, compressed(5)), 75, 75)
    assert again == pytest.approx(shown[3], rel=0.2), "it was compressed before, and the blocks are still there"


def test_blocks_that_lie_otherwise_are_not_seen() -> None:
    assert (blockiness(compressed(5)[3:, 3:], 75, 75) or 0) < 0.2


def test_where_there_is_no_room_for_blocks_they_are_not_looked_for() -> None:
    assert blockiness(SHARP[:31], 75, 15) is None
    assert blockiness(SHARP[:33, :33], 16, 16) is not None
    assert blockiness(SHARP, -500.0, 75) is not None, "a face may lie outside"
    assert blockiness(SHARP, 900.0, 75) is None
    assert blockiness(np.full((150, 150, 3), 128, np.uint8), 75, 75) == 0


@given(
    st.floats(0, 1),
    st.floats(0, 1e5),
    st.floats(-180, 180),
    st.integers(0, 255),
    st.integers(0, 255),
    st.integers(0, 9),
)
def test_overall_is_always_between_nought_and_one(
    score: float, width: float, yaw: float, low: int, high: int, seed: int
) -> None:
    chip = np.random.default_rng(seed).integers(min(low, high), max(low, high) + 1, (150, 150, 3)).astype(np.uint8)
    assert 0 <= measure(chip, MEAN_FACE * width, score=score, yaw=yaw).overall <= 1
