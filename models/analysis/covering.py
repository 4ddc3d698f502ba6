"""Tells whether a mask, sunglasses, a hand or the like covers the mouth or the eyes of a face.

``models/reference/fit_covered.py`` fitted the network; docs/models.md says how often it is right.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from models.embedder.litert import LiteModel
from models.pictures.geometry import Pixels

WEIGHTS = Path(__file__).with_name("covered.tflite")
SURE = 0.75
"""From here on a part counts as covered: beyond it are 2 of 1,680 faces with nothing before them."""
INPUT = 64
"""Rows and columns that the network takes."""


@dataclass(frozen=True, slots=True)
class Covering:
    """How sure it is that parts of a face are covered, 0 to 1."""

    eyes: float
    mouth: float

    @property
    def most(self) -> float:
        """That of the part that is more likely to be covered."""
        return max(self.eyes, self.mouth)

    @property
    def part(self) -> str | None:
        """The part that is covered, ``eyes`` or ``mouth``; None: neither."""
        if self.most < SURE:
            return None
        return "eyes" if self.eyes > self.mouth else "mouth"


class CoveringModel:
    """Looks at chips; safe to call from several threads."""

    def __init__(self) -> None:
        self._model = LiteModel(WEIGHTS.read_bytes())

    def look(self, chip: Pixels) -> Covering:
        """Look at an aligned face, RGB [size, size, 3], in dlib's frame with a padding of 0.25."""
        small = cv2.resize(chip, (INPUT, INPUT), interpolation=cv2.INTER_AREA)
        (found,) = self._model(small[None].astype(np.float32))
        eyes, mouth = found[0].tolist()
        return Covering(eyes, mouth)
