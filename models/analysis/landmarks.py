"""Finds the landmarks and the yaw of a face with MediaPipe's face mesh.

Source: Kartynnik et al., Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs (2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from models.embedder.assets import FACE_MESH
from models.embedder.litert import LiteModel
from models.pictures.geometry import EYES_AND_MOUTH, Pixels, Points, Transform, apply, cut, similarity

_INPUT = 192
_CENTER = (0.49, 0.5)
_SIDE = 2.0
_DLIB_POINTS = (263, 362, 33, 133, 2)
_NOSE_AND_MOUTH = (1, 61, 291)
_LEFT_EYE, _RIGHT_EYE = 263, 33


@dataclass(frozen=True, slots=True)
class Landmarks:
    """The landmarks of one face.

    Attributes:
        points: [5, 2], in pixels of the picture and in the order of Face.landmarks.
        arcface: [5, 2], right eye, left eye, tip of the nose, right and left corner of the mouth.
        presence: from 0 (no face) to 1.
        yaw: in degrees, positive if the person's left eye is farther from the camera than the right one.
    """

    points: Points
    arcface: Points
    presence: float
    yaw: float

    @property
    def eyes_apart(self) -> float:
        """The eye distance in pixels."""
        return float(np.linalg.norm(self._across))

    @property
    def roll(self) -> float:
        """Clockwise rotation of the face in degrees; 0 if it is upright."""
        x, y = self._across.tolist()
        return float(np.degrees(np.arctan2(y, x)))

    @property
    def _across(self) -> Points:
        return np.asarray(self.points[:2].mean(0) - self.points[2:4].mean(0))


class FaceMesh:
    """Finds landmarks; safe to call from several threads."""

    def __init__(self) -> None:
        self._model = LiteModel(FACE_MESH.read())

    def find(self, picture: Pixels, eyes_and_mouth: Points) -> Landmarks:
        """Find the landmarks of a face, of which right eye, left eye and mouth [3, 2] are about known."""
        to_picture = _square(eyes_and_mouth)
        shown = np.multiply(cut(picture, to_picture, _INPUT), np.float32(1 / 255))[None]
        mesh, logit = self._model(shown)
        points: Any = mesh.reshape(-1, 3)
        across = points[_LEFT_EYE] - points[_RIGHT_EYE]
        corners, rest = (
            apply(to_picture, points[list(which), :2].astype(np.float64)) for which in (_DLIB_POINTS, _NOSE_AND_MOUTH)
        )
        return Landmarks(
            points=corners,
            arcface=np.array([corners[2:4].mean(0), corners[:2].mean(0), *rest]),
            presence=float(1 / (1 + np.exp(-logit.flat[0]))),
            yaw=float(np.degrees(np.arctan2(across[2], across[0]))),
        )


def _square(eyes_and_mouth: Points) -> Transform:
    """The transform from the network's input to the picture: twice the face's width, eyes level."""
    face = similarity(EYES_AND_MOUTH, eyes_and_mouth)
    eyes = eyes_and_mouth[1] - eyes_and_mouth[0]
    angle = np.arctan2(eyes[1], eyes[0])
    scale = _SIDE * float(np.hypot(face[0, 0], face[1, 0])) / _INPUT
    rotation = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    center = apply(face, np.array([_CENTER]))[0]
    middle = (_INPUT - 1) / 2
    return np.column_stack([rotation, center - rotation @ (middle, middle)])
