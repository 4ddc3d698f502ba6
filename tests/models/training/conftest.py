from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import keras  # type: ignore[import-untyped]
import numpy as np
import pytest
from keras import layers

from models.analysis import chips
from models.analysis.analyzer import Analyzer
from models.embedder.card import Output
from models.embedder.model import Model
from models.pictures.geometry import Pixels
from models.training import network, publish
from models.training.samples import Sample, TrainingSet
from tests.models.conftest import Photo

SIZE = 150
SMALL_SIZE, DIMENSIONS = 32, 8


def person(faces: list[Pixels], number: int) -> Pixels:
    """A face that nobody has: portraits laid over each other, stretched and mirrored otherwise for every number."""
    random = np.random.default_rng([number, 99])
    one, other = (faces[at] for at in random.integers(0, len(faces), 2))
    face = cv2.addWeighted(one, part := random.uniform(0.2, 0.8), other, 1 - part, 0)
    if random.random() < 0.5:
        face = face[:, ::-1]
    corners = np.array([[0, 0], [SIZE, 0], [0, SIZE], [SIZE, SIZE]], np.float32)
    moved = corners + random.uniform(-25, 25, (4, 2)).astype(np.float32)
    warped = cv2.warpPerspective(face, cv2.getPerspectiveTransform(corners, moved), (SIZE, SIZE), borderMode=1)
    return np.asarray(warped, np.uint8)


@pytest.fixture(scope="session")
def faces(analyzer: Analyzer, photo: Photo) -> list[Pixels]:
    analyses = analyzer.analyze([photo(name) for name in ("obama", "obama2", "obama3", "biden")])
    return [chip for analysis in analyses for chip in analysis.chips[:1] if chip is not None]


@pytest.fixture(scope="session")
def people(faces: list[Pixels]) -> TrainingSet:
    """20 made-up people of 3 pictures each."""
    from models.training.degrade import shifted

    samples = [
        Sample(
            f"{number:02d}-{view}", "user", f"{number:02d}", chips.encode(shifted(person(faces, number), 0.04, random))
        )
        for number in range(20)
        for random in [np.random.default_rng(number)]
        for view in range(3)
        for picture in [shifted(person(faces, number), 0.04, random)]
    ]
    return TrainingSet.of(samples, SIZE)


@pytest.fixture(scope="session")
def small_people(people: TrainingSet) -> TrainingSet:
    """The same people on chips of 32 pixels."""
    small = [cv2.resize(chip, (SMALL_SIZE, SMALL_SIZE), interpolation=cv2.INTER_AREA) for chip in people.chips]
    chips = np.stack(small).astype(np.uint8)
    return replace(people, chips=chips, corrected=replace(people.corrected, chips=chips[:0]))


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, reference: Model, small_people: TrainingSet) -> Path:
    """A version with all that full training looks for in the reference, and a thousandth of its weights."""
    keras.utils.set_random_seed(0)
    given = keras.Input((SMALL_SIZE, SMALL_SIZE, 3), name="chips")
    x = layers.Conv2D(16, 7, strides=2, activation="relu", name="stem")(given)
    for index in range(network.EARLY_BLOCKS + 1):
        y = layers.Conv2D(16, 3, padding="same", activation="relu", name=f"block{index}_a")(x)
        y = layers.Conv2D(16, 3, padding="same", name=f"block{index}_b")(y)
        x = layers.ReLU(name=f"block{index}_relu")(layers.Add(name=f"block{index}_add")([y, x]))
    pool = layers.GlobalAveragePooling2D(name="pool")(x)
    vector = layers.Dense(DIMENSIONS, use_bias=False, name="vector")
    made = keras.Model(given, vector(pool), name="small")
    chip = reference.card.chip.model_copy(update={"size": SMALL_SIZE})
    seen = np.asarray(keras.Model(given, pool)((small_people.chips - np.array(chip.mean, np.float32)) * chip.scale))
    # What tells these people apart counts alike, and strangers are as far apart as the reference's.
    _, spread, directions = np.linalg.svd(seen - seen.mean(0), full_matrices=False)
    usual = np.sqrt(len(seen) / 2 / DIMENSIONS) * 0.77
    vector.kernel.assign((directions[:DIMENSIONS] / spread[:DIMENSIONS, None] * usual).T)
    output = Output(dimensions=DIMENSIONS, metric="euclidean")
    card = reference.card.model_copy(update={"version": "small", "chip": chip, "output": output})
    publish.write(folder := tmp_path_factory.mktemp("versions") / "small", made, card)
    return folder
