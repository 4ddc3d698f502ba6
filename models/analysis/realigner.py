"""Cuts the chips of one geometry where only the landmarks or the chips of another one are known."""

from __future__ import annotations

from models.analysis.aligner import Aligner
from models.analysis.landmarks import FaceMesh
from models.embedder.card import ChipGeometry
from models.pictures.geometry import EYES_AND_MOUTH, MEAN_FACE, Pixels, Points, apply, similarity

_MIN_PRESENCE = 0.5


class Realigner:
    """Finds the landmarks again that its geometry needs; safe to call from several threads."""

    def __init__(self, geometry: ChipGeometry) -> None:
        self._aligner = Aligner(geometry)
        self._geometry = geometry
        self._mesh = FaceMesh()

    def from_picture(self, picture: Pixels, points: Points) -> Pixels | None:
        """Cut a chip at landmarks [5, 2] in the order of Face.landmarks; None: no face is seen there."""
        if self._aligner.is_dlib:
            return self._aligner.align(picture, points)
        return self._cut(picture, apply(similarity(MEAN_FACE, points), EYES_AND_MOUTH))

    def from_chip(self, chip: Pixels, geometry: ChipGeometry) -> Pixels | None:
        """Cut a chip out of a chip [size, size, 3] of another geometry; None: no face is seen in it.

        What lies beyond the given chip is black. A chip of the same geometry is returned as it is.
        """
        if geometry.cut == self._geometry.cut:
            return chip
        return self._cut(chip, Aligner(geometry).eyes_and_mouth)

    def _cut(self, picture: Pixels, eyes_and_mouth: Points) -> Pixels | None:
        landmarks = self._mesh.find(picture, eyes_and_mouth)
        if landmarks.presence < _MIN_PRESENCE:
            return None
        return self._aligner.align(picture, self._aligner.points(landmarks))
