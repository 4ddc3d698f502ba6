"""Cuts the chips of one geometry where only the landmarks or the chips of another one are known."""

from __future__ import annotations

import math

from models.analysis.aligner import Aligner
from models.analysis.landmarks import FaceMesh, Landmarks
from models.analysis.profiles import ProfileFinder
from models.analysis.views import Picture
from models.analysis.yunet import YuNet
from models.embedder.card import ChipGeometry
from models.pictures.geometry import EYES_AND_MOUTH, MEAN_FACE, Pixels, Points, apply, similarity

_MIN_PRESENCE = 0.5
_FACE_SIZE = 2.6
"""Side of a face as BlazeFace sees it, by the distance of eyes and mouth: 2.4 to 2.9 in six photographs."""


class Realigner:
    """Finds the landmarks again that its geometry needs; safe to call from several threads."""

    def __init__(self, geometry: ChipGeometry) -> None:
        self._aligner = Aligner(geometry)
        self._geometry = geometry
        self._mesh = FaceMesh()
        yunet = None if self._aligner.is_dlib else YuNet.load()
        self._profiles = ProfileFinder(yunet) if yunet else None

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
        if self._profiles:
            landmarks = self._as_found(self._profiles, picture, landmarks)
        return self._aligner.align(picture, self._aligner.points(landmarks))

    def _as_found(self, finder: ProfileFinder, picture: Pixels, landmarks: Landmarks) -> Landmarks:
        """The landmarks that a search of the picture would have given."""
        eyes, mouth = landmarks.arcface[:2].mean(0), landmarks.arcface[3:].mean(0)
        return finder.aside(Picture(picture), landmarks, (eyes + mouth) / 2, _FACE_SIZE * math.dist(eyes, mouth))
