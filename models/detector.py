"""Where faces are: BlazeFace full range, looked at in one pass, or in tiles where faces may be too small for one.

Source: Bazarevsky et al., BlazeFace (2019), and MediaPipe's ``face_detection_full_range`` graph.
"""

from __future__ import annotations

import math
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
_MIN_SCORE = 0.4
_MIN_LOGIT = float(np.log(_MIN_SCORE / (1 - _MIN_SCORE)))
_SAME_FACE = 0.3
_INSIDE = 0.7
_TILE = 4 / 7
_MIN_TILE = 240
_MOST_TILES = 1_000
"""A square picture of 4,000 pixels a side needs fewer; a strip of a million by one would need thousands."""
_LARGE = 800
_EMPTY = 640
_SMALL_FACE = 15
_SMALL_FACE_IN_CROWD = 24
_CROWD = 3
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

        The network sees 192 × 192 pixels and finds faces of 14 of them and more. One pass takes the whole picture;
        where that shows nothing, a second one steps back, for a face that fills the picture. Tiles of four sevenths of
        the picture follow, and tiles of four sevenths of those, as long as there is reason to expect more: the picture
        is large, or nothing has been found, or a face so small that others like it may have been missed.
        """
        height, width = picture.shape[:2]
        side = longer = float(max(height, width))
        found = self._look(picture, _around(width, height, longer))
        if not len(found):
            found = self._look(picture, _around(width, height, longer * _STEP_BACK))
        looks = 0
        while side * _TILE > _MIN_TILE and _expects_more(found, side, longer):
            side *= _TILE
            tiles = _tiles(width, height, side)
            if (looks := looks + len(tiles)) > _MOST_TILES:
                break
            parts = [self._look_at_tile(picture, window) for window in tiles]
            found = _merged(np.concatenate([found, *parts]))
        order = np.argsort(-found[:, 3] * found[:, 4], kind="stable")
        return [_detection(row) for row in found[order]]

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


def _around(width: int, height: int, side: float) -> _Window:
    return _Window((width - side) / 2, (height - side) / 2, side)


def _expects_more(found: Found, side: float, longer: float) -> bool:
    """Whether tiles smaller than windows of this side are worth their time."""
    if not len(found):
        return side == longer or side >= _EMPTY
    small = _SMALL_FACE if len(found) < _CROWD else _SMALL_FACE_IN_CROWD
    return side > _LARGE or bool(found[:, 3].min() * _INPUT < small * side)


def _tiles(width: int, height: int, side: float) -> list[_Window]:
    def starts(length: int) -> list[float]:
        if length <= side:
            return [(length - side) / 2]
        # Less a little, so that two tiles of four sevenths are enough.
        count = math.ceil((length - side) / (side * (1 - _OVERLAP)) - 1e-6) + 1
        return [float(start) for start in np.linspace(0, length - side, count)]

    return [_Window(x, y, side) for y in starts(height) for x in starts(width)]


def _detection(row: NDArray[np.float64]) -> Detection:
    score, x, y, width, height = row[:5].tolist()
    return Detection(score, (x, y), (width, height), row[5:].reshape(6, 2))


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
