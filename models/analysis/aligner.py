"""Cuts aligned faces (chips) out of pictures: squares in which the landmarks have fixed places."""

from __future__ import annotations

import numpy as np

from models.analysis.landmarks import Landmarks
from models.embedder.card import ChipGeometry
from models.pictures.geometry import (
    ARCFACE,
    EYES_AND_MOUTH,
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
        self.is_dlib = geometry.frame == "dlib"
        frame = MEAN_FACE if self.is_dlib else ARCFACE
        eyes_and_mouth = EYES_AND_MOUTH if self.is_dlib else np.array([*ARCFACE[:2], ARCFACE[3:].mean(0)])
        margin, width = geometry.padding, 2 * geometry.padding + 1
        self._template = (margin + frame) / width * geometry.size
        self.eyes_and_mouth: Points = (margin + eyes_and_mouth) / width * geometry.size
        """Where right eye, left eye and mouth [3, 2] are in a chip."""

    def points(self, landmarks: Landmarks) -> Points:
        """The landmarks [5, 2] that have fixed places in the chips of this geometry."""
        return landmarks.points if self.is_dlib else landmarks.arcface

    def align(self, picture: Pixels, points: Points) -> Pixels:
        """Cut a chip [size, size, 3] in which these points [5, 2] are where the geometry has them."""
        return cut(picture, self._to_picture(points), self.size)

    def inside(self, picture: Pixels, points: Points) -> Inside | None:
        """A mask [size, size] of the chip's pixels inside the picture; None: all are. Those outside are black."""
        return inside(picture, self._to_picture(points), self.size)

    def _to_picture(self, points: Points) -> Transform:
        return self._as_dlib(points) if self.is_dlib else similarity(self._template, points)

    def _as_dlib(self, points: Points) -> Transform:
        """Source: dlib's ``get_face_chip_details`` and ``extract_image_chip``."""
        face = similarity(self._template, points)
        # dlib maps the corner pixels of a rectangle of size * scale, inclusive, to the corners of the chip, and takes
        # size / 2 as its centre: this is half a pixel off the plain similarity transform.
        scale = scale_of(face)
        face[:, :2] *= (self.size * scale - 1) / ((self.size - 1) * scale)
        middle = (self.size - 1) / 2
        center = apply(similarity(self._template, points), np.full((1, 2), self.size / 2))[0]
        face[:, 2] = center - face[:, :2] @ (middle, middle)
        return face
