"""Where faces are: BlazeFace full range, looked at in one pass, or in tiles where faces may be too small for one.

Source: Bazarevsky et al., BlazeFace (2019), and MediaPipe's ``face_detection_full_range`` graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.assets import DETECTOR
from models.geometry import Pixels, Points
from models.litert import LiteModel

_INPUT = 192
_GRID = 48
_MIN_SCORE = 0.5
_MIN_LOGIT = float(np.log(_MIN_SCORE / (1 - _MIN_SCORE)))
_SAME_FACE = 0.3
_INSIDE = 0.7
_SMALL_FACE = 15
_CROWD = 3
_SMALL_FACE_IN_CROWD = 24
_TILE = 366
_OVERLAP = 0.25
_STEP_BACK = 1.8

Found = NDArray[np.float64]
"""Rows of score, then centre, size and six points as x, y: [n, 17]."""


@dataclass(frozen=True, slots=True)
class Detection:
    """One face in pixels of the picture.

    ``points`` [6, 2]: the person's right eye, left eye, tip of the nose, mouth, right ear, left ear.
    """

    score: float
    center: tuple[float, float]
    size: tuple[float, float]
    points: Points


@dataclass(frozen=True, slots=True)
class _Window:
    """A square of the picture that is shown to the network; it may reach beyond the picture."""

    x: float
    y: float
    side: float


class Detector:
    """Finds faces; safe to call from several threads."""

    def __init__(self) -> None:
        self._model = LiteModel(DETECTOR)
        cells = (np.arange(_GRID) + 0.5) / _GRID
        self._anchors = np.stack(np.meshgrid(cells, cells), -1).reshape(-1, 1, 2)

    def detect(self, picture: Pixels) -> list[Detection]:
        """Find the faces of a picture, largest first.

        One pass takes the whole picture, 192 pixels to the network. Where that shows nothing, a second one steps back,
        for a face that fills the picture. Where it shows nothing, or a face narrower than 15 of those pixels (24, if
        there are three faces or more), tiles of a third to four sevenths of the picture are looked at as well. So
        beside a larger face one is found down to about 1/13 of the picture's longer side, and alone or in a crowd down
        to 1/40, but not much below 20 pixels.
        """
        height, width = picture.shape[:2]
        longer = max(height, width)
        found = self._look(picture, _Window((width - longer) / 2, (height - longer) / 2, longer))
        if not len(found):
            side = longer * _STEP_BACK
            found = self._look(picture, _Window((width - side) / 2, (height - side) / 2, side))
        tile = max(longer / 3, min(longer / 1.75, _TILE))
        small = _SMALL_FACE if len(found) < _CROWD else _SMALL_FACE_IN_CROWD
        if tile > _INPUT and (not len(found) or found[:, 3].min() * _INPUT < small * longer):
            parts = [self._look_at_tile(picture, window) for window in _tiles(width, height, tile)]
            found = _merged(np.concatenate([found, *parts]))
        order = np.argsort(-found[:, 3] * found[:, 4], kind="stable")
        return [
            Detection(
                float(row[0]), (float(row[1]), float(row[2])), (float(row[3]), float(row[4])), row[5:].reshape(6, 2)
            )
            for row in found[order]
        ]

    def _look(self, picture: Pixels, window: _Window) -> Found:
        boxes, logits = self._model(_shown(picture, window))
        good = np.flatnonzero(logits[0, :, 0] > _MIN_LOGIT)
        if not good.size:
            return np.empty((0, 17))
        scores = 1 / (1 + np.exp(-logits[0, good, 0].astype(np.float64)))
        places = boxes[0, good].reshape(-1, 8, 2) / _INPUT
        places[:, [0, 2, 3, 4, 5, 6, 7]] += self._anchors[good]
        places *= window.side
        places[:, [0, 2, 3, 4, 5, 6, 7]] += (window.x, window.y)
        return _merged(np.column_stack([scores, places.reshape(-1, 16)]))

    def _look_at_tile(self, picture: Pixels, tile: _Window) -> Found:
        """Without the faces that an edge of the tile, but not of the picture, cuts through."""
        found = self._look(picture, tile)
        low, high = _corners(found)
        start = np.array([tile.x, tile.y])
        end = start + tile.side
        inner_start = np.where(start > 0, start, -np.inf)
        inner_end = np.where(end < (picture.shape[1], picture.shape[0]), end, np.inf)
        return found[((low > inner_start) & (high < inner_end)).all(1)]


def _shown(picture: Pixels, window: _Window) -> NDArray[np.float32]:
    """What the network sees of a window: [1, 192, 192, 3], -1 to 1, black outside the picture."""
    height, width = picture.shape[:2]
    left, top = max(0, round(window.x)), max(0, round(window.y))
    right, bottom = min(width, round(window.x + window.side)), min(height, round(window.y + window.side))
    scale = _INPUT / window.side
    x, y = round((left - window.x) * scale), round((top - window.y) * scale)
    columns = min(_INPUT - x, max(1, round((right - left) * scale)))
    rows = min(_INPUT - y, max(1, round((bottom - top) * scale)))
    part: NDArray[Any] = picture[top:bottom, left:right]
    # Halving and then interpolating is ten times as fast as OpenCV's mean over fractions of pixels, and as good here.
    while part.shape[0] >= 2 * rows and part.shape[1] >= 2 * columns:
        part = cv2.resize(part, (part.shape[1] // 2, part.shape[0] // 2), interpolation=cv2.INTER_AREA)
    part = cv2.resize(part, (columns, rows), interpolation=cv2.INTER_LINEAR)
    shown = np.full((1, _INPUT, _INPUT, 3), -1, np.float32)
    view = shown[0, y : y + rows, x : x + columns]
    np.multiply(part, np.float32(2 / 255), out=view)
    view -= 1
    return shown


def _tiles(width: int, height: int, side: float) -> list[_Window]:
    def starts(length: int) -> list[float]:
        if length <= side:
            return [(length - side) / 2]
        count = int(np.ceil((length - side) / (side * (1 - _OVERLAP)))) + 1
        return [float(start) for start in np.linspace(0, length - side, count)]

    return [_Window(x, y, side) for y in starts(height) for x in starts(width)]


def _corners(found: Found) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    half = found[:, 3:5] / 2
    return found[:, 1:3] - half, found[:, 1:3] + half


def _merged(found: Found) -> Found:
    """One row a face: the mean of what overlaps the best, weighted by score, with the best score."""
    found = found[(found[:, 3:5] > 0).all(1)]
    found = found[np.argsort(-found[:, 0], kind="stable")]
    low, high = _corners(found)
    areas = found[:, 3] * found[:, 4]
    faces = []
    rest = np.arange(len(found))
    while rest.size:
        best = rest[0]
        sides = np.maximum(0, np.minimum(high[best], high[rest]) - np.maximum(low[best], low[rest]))
        common = sides[:, 0] * sides[:, 1]
        same = common > _SAME_FACE * (areas[best] + areas[rest] - common)
        group = found[rest[same]]
        face = np.average(group, axis=0, weights=group[:, 0])
        face[0] = group[0, 0]
        faces.append(face)
        rest = rest[~(same | (common > _INSIDE * np.minimum(areas[best], areas[rest])))]
    return np.array(faces).reshape(-1, found.shape[1])
