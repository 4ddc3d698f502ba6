from __future__ import annotations

import numpy as np

from models.training.validation import ValidationResult

PEOPLE = np.repeat(np.arange(4, dtype=np.int32), 3)


def vectors(noise: float) -> np.ndarray:
    """Templates, and two views of them that are the further off the more noise there is."""
    random = np.random.default_rng(0)
    templates = np.eye(4, dtype=np.float32)[PEOPLE] + 0.05 * random.standard_normal((12, 4))
    views = [templates + noise * random.standard_normal((12, 4)) for _ in range(2)]
    return np.concatenate([templates, *views]).astype(np.float32)


def test_good_vectors_are_judged_better_than_poor_ones() -> None:
    good, poor = ValidationResult.of(vectors(0.01), PEOPLE), ValidationResult.of(vectors(0.8), PEOPLE)
    assert good.tar == 1
    assert poor.tar < 0.9
    assert 0 <= good.loss < poor.loss / 4


def test_a_picture_is_not_compared_with_itself() -> None:
    found = vectors(0.0)
    alone = np.arange(4, dtype=np.int32)
    result = ValidationResult.of(found[[0, 3, 6, 9] * 3], alone)
    assert np.isnan(result.tar), "nobody has another picture"


def test_how_near_all_faces_are_to_each_other_does_not_matter() -> None:
    wide, narrow = ValidationResult.of(vectors(0.01), PEOPLE), ValidationResult.of(0.4 * vectors(0.01), PEOPLE)
    assert narrow.tar == wide.tar == 1
    assert narrow.loss < 4
