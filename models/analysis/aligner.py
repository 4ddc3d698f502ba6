"""Cuts aligned faces (chips) out of pictures, as dlib does.

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
        """Cut a chip [size, size, 3] in which the five points [5, 2] (see Face.landmarks) are where dlib has them."""
        return cut(picture, self._to_picture(points), self.size)

    def inside(self, picture: Pixels, points: Points) -> Inside | None:
        """A mask [size, size] of the chip's pixels inside the picture; None: all are. Those outside are black."""
        return inside(picture, self._to_picture(points), self.size)

    def _to_picture(self, points: Points) -> Transform:
        face = similarity(self._template, points)
        # dlib maps the corner pixels of a rectangle of size * scale, inclusive, to the corners of the chip, and takes
        # size / 2 as its centre: this is half a pixel off the plain similarity transform.
        scale = scale_of(face)
        face[:, :2] *= (self.size * scale - 1) / ((self.size - 1) * scale)
        middle = (self.size - 1) / 2
        center = apply(similarity(self._template, points), np.full((1, 2), self.size / 2))[0]
        face[:, 2] = center - face[:, :2] @ (middle, middle)
        return face
