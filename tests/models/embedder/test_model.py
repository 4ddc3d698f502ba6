from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras  # type: ignore[import-untyped]
import numpy as np
import pytest

from models.analysis.analyzer import Analyzer
from models.embedder import runtime
from models.embedder.card import CARD_FILE, UnusableModel
from models.embedder.model import Model
from models.embedder.references import Reference
from tests.models.conftest import Photo

SIZE, DIMENSIONS = 32, 3


def tiny() -> keras.Model:
    """The mean colour of a chip."""
    chips = keras.Input((SIZE, SIZE, 3))
    return keras.Model(chips, keras.layers.GlobalAveragePooling2D()(chips))


def write(folder: Path, file: str, **changed: Any) -> Path:
    card = {
        "version": "mean-colour",
        "weights": {"file": file},
        "chip": {"size": SIZE, "padding": 0.5, "mean": [1, 2, 3], "scale": 0.5},
        "output": {"dimensions": DIMENSIONS, "metric": "euclidean"},
        "fmr_curve": [[0.1, 0.001], [1, 1]],
        "thresholds": {"only": 0.1},
        "default_threshold": "only",
    }
    (folder / CARD_FILE).write_text(json.dumps(card | changed))
    return folder


@pytest.fixture
def keras_folder(tmp_path: Path) -> Path:
    tiny().save(tmp_path / "model.keras")
    return write(tmp_path, "model.keras")


CHIPS = np.stack([np.full((SIZE, SIZE, 3), (11, 22, 33), np.uint8), np.full((SIZE, SIZE, 3), 101, np.uint8)])
EXPECTED = [[5, 10, 15], [50, 49.5, 49]]


def test_a_keras_file(keras_folder: Path) -> None:
    assert Model.load(keras_folder).embed(CHIPS) == pytest.approx(np.array(EXPECTED), abs=1e-4)


def test_a_saved_model(tmp_path: Path) -> None:
    tiny().export(tmp_path / "saved", verbose=False)
    assert Model.load(write(tmp_path, "saved")).embed(CHIPS) == pytest.approx(np.array(EXPECTED), abs=1e-4)


def test_cosine_scales_vectors_to_length_one(keras_folder: Path) -> None:
    write(keras_folder, "model.keras", output={"dimensions": DIMENSIONS, "metric": "cosine"})
    expected = np.array(EXPECTED) / np.linalg.norm(EXPECTED, axis=1, keepdims=True)
    assert Model.load(keras_folder).embed(CHIPS) == pytest.approx(expected, abs=1e-5)


def test_an_analyzer_takes_a_users_model_as_it_is(keras_folder: Path, photo: Photo) -> None:
    analyzer = Analyzer(Model.load(keras_folder), threads=1)
    [analysis] = analyzer.analyze([photo("obama")])
    analyzer.close()
    assert analyzer.model_version == "mean-colour"
    assert analysis.chips[0] is not None
    assert analysis.chips[0].shape == (SIZE, SIZE, 3)
    assert len(analysis.faces[0].vector or b"") == 4 * DIMENSIONS


def test_many_chips_and_none(keras_folder: Path) -> None:
    model = Model.load(keras_folder)
    model.warm_up()
    assert model.embed(np.resize(CHIPS, (70, SIZE, SIZE, 3)))[68:] == pytest.approx(np.array(EXPECTED), abs=1e-4)
    assert model.embed(CHIPS[:0]).shape == (0, DIMENSIONS)


def test_the_digest_is_checked(keras_folder: Path) -> None:
    digest = hashlib.sha256((keras_folder / "model.keras").read_bytes()).hexdigest()
    Model.load(write(keras_folder, "model.keras", weights={"file": "model.keras", "sha256": digest}))
    with pytest.raises(UnusableModel, match="SHA-256"):
        Model.load(write(keras_folder, "model.keras", weights={"file": "model.keras", "sha256": "0" * 64}))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"weights": {"file": "absent.keras"}}, "absent.keras"),
        ({"weights": {"file": CARD_FILE}}, "not a Keras model"),
        ({"output": {"dimensions": 5, "metric": "euclidean"}}, "5"),
        ({"chip": {"size": 64, "padding": 0.5}}, "does not take chips"),
    ],
)
def test_card_and_weights_that_do_not_go_together(keras_folder: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(UnusableModel, match=message):
        Model.load(write(keras_folder, "model.keras", **changed))


@pytest.mark.parametrize("reference", [Reference.FAST, pytest.param(Reference.ACCURATE, marks=pytest.mark.long)])
def test_loading_is_quiet_and_the_second_time_without_tensorflow(reference: Reference, tmp_path: Path) -> None:
    code = f"""
import sys
from models.embedder.model import Model
from models.analysis.analyzer import Analyzer
from models.embedder.references import Reference
Analyzer(Model.load(Reference({reference.value!r}).folder)).warm_up()
print("tensorflow" in sys.modules)
"""
    for needed in (True, runtime.openvino() is None):
        env = os.environ | {"FACESTREAM_CACHE": str(tmp_path)}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
        assert (done.stdout, done.stderr) == (f"{needed}\n", "")
