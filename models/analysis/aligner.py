"""Cuts aligned faces as dlib does.

Source: dlib's ``get_face_chip_details`` and ``extract_image_chip``.
"""

from __future__ import annotations

import numpy as np

from models.embedder.card import ChipGeometry
from models.pictures.geometry import (
    MEAN_FACE,
    Inside,
    Pixels,
    Points,
    Transform,
    apply,
    cut,
    inside,
    scale_of,
    similarity,
)


class Aligner:
    """Cuts chips of one geometry."""

    def __init__(self, geometry: ChipGeometry) -> None:
        self.size = geometry.size
        self._template = (geometry.padding + MEAN_FACE) / (2 * geometry.padding + 1) * geometry.size

    def align(self, picture: Pixels, points: Points) -> Pixels:
        """Cut a chip [size, size, 3] so that five points [5, 2] (see Face.landmarks) come to their place."""
        return cut(picture, self._to_picture(points), self.size)

    def inside(self, picture: Pixels, points: Points) -> Inside | None:
        """A mask of the chip's pixels that lie in the picture; None: all. The others are black."""
        return inside(picture, self._to_picture(points), self.size)

    def _to_picture(self, points: Points) -> Transform:
        face = similarity(self._template, points)
        # dlib maps the corner pixels of a rectangle of size * scale, inclusive, to those of the chip, and takes
        # size / 2 for the middle: half a pixel beside the plain similarity.
        scale = scale_of(face)
        face[:, :2] *= (self.size * scale - 1) / ((self.size - 1) * scale)
        middle = (self.size - 1) / 2
        center = apply(similarity(self._template, points), np.full((1, 2), self.size / 2))[0]
        face[:, 2] = center - face[:, :2] @ (middle, middle)
        return face
