"""Fits ``models/analysis/covered.tflite``: ``python -m models.reference.fit_covered DIR`` (about 10 minutes).

``DIR/with_mask`` and ``DIR/without_mask`` hold photographs of people. Further masks, sunglasses, hands, beards and
spectacles are drawn on them (``models/reference/coverings.py``), and each is degraded as poor cameras do.
docs/models.md says which photographs were taken, and what the network makes of others.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from models.analysis.aligner import Aligner
from models.analysis.covering import INPUT, WEIGHTS
from models.analysis.finder import FaceFinder
from models.embedder.card import ChipGeometry
from models.pictures.decoder import decode
from models.pictures.geometry import ARCFACE, MEAN_FACE, Pixels, Transform, apply, similarity
from models.reference import coverings
from models.training.degrade import Conditions, degrade
from schemas.parts import Refusal

LABELS = Path(__file__).with_name("covered_labels.txt")
"""What the folders' names do not tell: lines ``word<TAB>file``. The words are those of ``_WORDS``."""

_WORDS = {
    "skip": (None, None),
    "eyes": (1.0, 0.0),
    "mouth": (0.0, 1.0),
    "both": (1.0, 1.0),
    "clear": (0.0, 0.0),
}
"""Whether eyes and mouth are covered; None: no one can tell."""

_CHIP = ChipGeometry(size=150, padding=0.25)
"""As in the analyzer: a smaller chip, cut at once, would be sharper than what the network is shown."""
_SIZE = 96
"""Rows and columns in which is drawn."""
_LANDMARKS = (_CHIP.padding + MEAN_FACE) / (1 + 2 * _CHIP.padding) * _SIZE
"""Where the five landmarks are in a chip."""
_SMALLEST = 20
"""Least distance between the eyes, in pixels."""
_POOL, _EPOCHS, _BATCH, _SEED = 24_000, 10, 64, 1
_CAMERAS = Conditions(
    face=(20, 90),
    blur=(0, 1.2),
    motion=(0, 2.5),
    light=(0.25, 1.0),
    gain=(0.1, 0.9),
    gamma=(0.6, 1.6),
    noise=(0, 7),
    jpeg=(25, 95),
)

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Example:
    """A photograph's largest face.

    Attributes:
        chip: RGB [96, 96, 3].
        place: from ArcFace's template to the chip.
        eyes: 1 if they are covered, otherwise 0.
        mouth: likewise.
    """

    chip: Pixels
    place: Transform
    eyes: float
    mouth: float


def read(folder: Path) -> list[Example]:
    """The examples in ``with_mask`` and ``without_mask``, in the order of their names."""
    lines = [line.split("\t") for line in LABELS.read_text("utf-8").splitlines()]
    words = {name: word for word, name in lines}
    finder, aligner = FaceFinder(), Aligner(_CHIP)

    def example(path: Path) -> Example | None:
        eyes, mouth = _WORDS[words.get(path.name, "mouth" if path.parent.name == "with_mask" else "clear")]
        raster = decode(path.read_bytes(), max_bytes=10**8, max_pixels=10**8)
        if isinstance(raster, Refusal) or eyes is None or mouth is None:
            return None
        pixels = raster.pixels
        if (shrink := 1000 / max(pixels.shape[:2])) < 1:
            pixels = np.asarray(cv2.resize(pixels, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA), np.uint8)
        found = finder.find(pixels)
        if not found or not found[0].is_reliable or found[0].landmarks.eyes_apart < _SMALLEST:
            return None
        landmarks = found[0].landmarks
        in_chip = apply(similarity(landmarks.points, _LANDMARKS), landmarks.arcface)
        chip = cv2.resize(aligner.align(pixels, landmarks.points), (_SIZE, _SIZE), interpolation=cv2.INTER_AREA)
        return Example(np.asarray(chip, np.uint8), coverings.to_chip(in_chip), eyes, mouth)

    paths = sorted(path for name in ("with_mask", "without_mask") for path in (folder / name).iterdir())
    with ThreadPoolExecutor() as pool:
        return [one for one in pool.map(example, paths) if one is not None]


def drawn(example: Example, random: Generator) -> tuple[Pixels, float, float]:
    """A picture in the network's size, with further things drawn on it; whether its eyes and mouth are covered."""
    chip, place, eyes, mouth = example.chip, example.place, example.eyes, example.mouth
    kind = random.random()
    if not mouth and kind < 0.3:
        chip, mouth = coverings.mask(chip, place, random), 1.0
    elif not mouth and kind < 0.34:
        at = ARCFACE[3:].mean(0) + random.normal(0, 0.03, 2)
        chip, mouth = coverings.hand(chip, place, at, random), 1.0
    elif kind < 0.42:
        chip = coverings.chin_mask(chip, place, random)
    elif not mouth and kind < 0.52:
        chip = coverings.beard(chip, place, random)
    kind = random.random()
    if not eyes and kind < 0.28:
        chip, eyes = coverings.glasses(chip, place, random.uniform(0.86, 1.0), random), 1.0
    elif not eyes and kind < 0.33:
        chip, eyes = coverings.bar(chip, place, random), 1.0
    elif kind < 0.48:
        chip = coverings.glasses(chip, place, random.uniform(0, 0.25), random)
    elif kind < 0.58:
        chip = coverings.shadow(chip, place, random)
    if random.random() < 0.08:  # The picture's border.
        chip = chip.copy()
        width = int(random.integers(4, 30))
        (chip, chip[::-1], chip.swapaxes(0, 1), chip.swapaxes(0, 1)[::-1])[int(random.integers(4))][:width] = 0
    turned = cv2.getRotationMatrix2D(((_SIZE - 1) / 2,) * 2, random.normal(0, 3), random.uniform(0.93, 1.07))
    turned = np.asarray(turned) + np.pad(random.normal(0, 2, (2, 1)), ((0, 0), (2, 0)))
    chip = np.asarray(cv2.warpAffine(chip, turned, (_SIZE, _SIZE), flags=cv2.INTER_LINEAR), np.uint8)
    if random.random() < 0.6:
        chip = degrade(chip, _CAMERAS, random)
    small = np.asarray(cv2.resize(chip, (INPUT, INPUT), interpolation=cv2.INTER_AREA), np.uint8)
    if random.random() < 0.25:
        small = np.asarray(cv2.cvtColor(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)
    return small[:, ::-1] if random.random() < 0.5 else small, eyes, mouth


def pool(examples: Sequence[Example], count: int, seed: int) -> tuple[Pixels, Floats]:
    """Pictures [count, INPUT, INPUT, 3], and whether their eyes and mouths are covered [count, 2]."""
    masked = [number for number, one in enumerate(examples) if one.mouth]
    others = [number for number, one in enumerate(examples) if not one.mouth]
    dark = [number for number, one in enumerate(examples) if one.eyes] or others

    def one(number: int) -> tuple[Pixels, float, float]:
        random = np.random.default_rng((seed, number))
        which = random.choice(3, p=(0.3, 0.67, 0.03))
        return drawn(examples[random.choice((masked, others, dark)[which])], random)

    with ThreadPoolExecutor() as threads:
        made = list(threads.map(one, range(count)))
    return np.stack([picture for picture, _, _ in made]), np.array([labels for _, *labels in made], np.float32)


def fitted(pictures: Pixels, labels: Floats) -> Any:
    """The network."""
    import keras  # type: ignore[import-untyped]

    keras.utils.set_random_seed(_SEED)
    layers = keras.layers
    network = keras.Sequential([keras.Input((INPUT, INPUT, 3)), layers.Rescaling(1 / 127.5, -1)])
    for filters, width in ((12, 5), (24, 3), (32, 3), (48, 3)):
        network.add(layers.Conv2D(filters, width, strides=2, padding="same", use_bias=False))
        network.add(layers.BatchNormalization())
        network.add(layers.ReLU())
    network.add(layers.Flatten())
    network.add(layers.Dropout(0.3))
    network.add(layers.Dense(2, activation="sigmoid", kernel_regularizer=keras.regularizers.L2(1e-4)))
    steps = len(pictures) // _BATCH * _EPOCHS
    rate = keras.optimizers.schedules.CosineDecay(2e-3, steps)
    network.compile(keras.optimizers.AdamW(rate), keras.losses.BinaryCrossentropy(label_smoothing=0.02))
    network.fit(pictures, labels, batch_size=_BATCH, epochs=_EPOCHS, verbose=2)
    return network


def main(folder: str) -> None:
    """Write the file."""
    import tensorflow as tf  # type: ignore[import-untyped]

    examples = read(Path(folder))
    print(len(examples), "faces")
    network = fitted(*pool(examples, _POOL, _SEED))
    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    WEIGHTS.write_bytes(converter.convert())


if __name__ == "__main__":
    main(sys.argv[1])
