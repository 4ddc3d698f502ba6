"""Draws people as seen from the side, out of photographs from the front and the depth that the face mesh sees."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image, ImageOps

from models.analysis.aligner import Aligner
from models.analysis.finder import FaceFinder
from models.embedder.assets import FACE_MESH
from models.embedder.card import ChipGeometry
from models.embedder.litert import LiteModel
from models.pictures.geometry import Pixels

_GREY = 110
_INPUT = 192
_SIZE = 288
_AROUND = ChipGeometry(size=_SIZE, padding=0.5)


def from_the_side(finder: FaceFinder, photo: Image.Image, degrees: float) -> Pixels:
    """A frame [480, 640, 3] with the face of a photograph, turned to the left of the picture by so much."""
    pixels = np.asarray(ImageOps.contain(photo, (360, 360)))
    [face] = finder.find(pixels)
    texture = Aligner(_AROUND).align(pixels, face.landmarks.points)
    shown = np.multiply(cv2.resize(texture, (_INPUT, _INPUT), interpolation=cv2.INTER_AREA), np.float32(1 / 255))
    mesh = LiteModel(FACE_MESH.read())(shown[None])[0].reshape(-1, 3).astype(np.float64) * _SIZE / _INPUT
    outline = np.zeros((_SIZE, _SIZE), np.uint8)
    cv2.fillConvexPoly(outline, cv2.convexHull(mesh[:, :2].astype(np.int32)), 1)
    rows, columns = np.nonzero(outline)
    # The depth of a pixel is the mean of the mesh's, weighted by nearness.
    near = 1 / (1 + np.square(columns[:, None] - mesh[:, 0]) + np.square(rows[:, None] - mesh[:, 1])) ** 2
    across, depth = columns - mesh[:, 0].mean(), near @ mesh[:, 2] / near.sum(1) - mesh[:, 2].mean()
    angle = np.radians(degrees)
    turned = np.round(across * np.cos(angle) + depth * np.sin(angle) + _SIZE / 2 - 20).astype(int)
    farthest_first = np.argsort(across * np.sin(angle) - depth * np.cos(angle))
    drawn = np.full((_SIZE, _SIZE, 3), _GREY, np.uint8)
    for beside in (0, 1):
        at = np.clip(turned[farthest_first] + beside, 0, _SIZE - 1)
        drawn[rows[farthest_first], at] = texture[rows[farthest_first], columns[farthest_first]]
    frame = np.full((480, 640, 3), _GREY, np.uint8)
    frame[100 : 100 + _SIZE, 180 : 180 + _SIZE] = cv2.medianBlur(drawn, 5)
    return frame
