"""Detects faces with BlazeFace full range: in one pass, and in tiles if faces may be too small for one pass.

Source: Bazarevsky et al., BlazeFace (2019), and MediaPipe's ``face_detection_full_range`` graph.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.embedder.assets import DETECTOR
from models.embedder.litert import LiteModel
from models.pictures.geometry import Pixels, Points

_INPUT = 192
_GRID = 48
MIN_SCORE = 0.4
"""Lowest score of a face. A detection below it is a hint: possibly a rotated face, but usually nothing."""
_MIN_TURNED_SCORE = 0.5
"""Lowest score of a face that is found only in a rotated view."""
_MIN_HINT = 0.2
_MIN_LOGIT = float(np.log(_MIN_HINT / (1 - _MIN_HINT)))
_SAME_FACE = 0.3
_INSIDE = 0.7
_TILE = 4 / 7
_FINE_TILE = 240
_MIN_TILE = 130
"""Sides of tiles in pixels. Smaller tiles than the first are used only for crowds; than the second, never."""
_TILES_A_FACE = 2
_MOST_TILES = 1_000
"""Most tiles of a picture. 4,000 × 4,000 pixels need fewer; a strip of a million by one would need thousands."""
_LARGE = 800
_EMPTY = 640
_SMALL_FACE = 15
_SMALL_FACE_IN_CROWD = 24
_CROWD = 3
_CROWD_OF_HINTS = 8
"""This many hints suggest a crowd of faces that are too small for the current tile size."""
_OVERLAP = 0.25
_STEP_BACK = 1.8
_AROUND = 2.5
"""Side of the square in which a face is examined again, as a multiple of its size."""
_NEAR = 0.7
"""Largest distance between two detections of the same face there, as a multiple of its size."""

Found = NDArray[np.float64]
"""Detections [n, 17]: score, then centre, size and six points, each as x, y."""

_X = np.array([1, 5, 7, 9, 11, 13, 15])
"""Columns of ``Found`` with horizontal positions; the vertical position is in the next column."""


@dataclass(frozen=True, slots=True)
class Detection:
    """One detected face. All coordinates are pixels of the picture as it is, not of a rotated view.

    Attributes:
        score: 0 to 1.
        center: x and y.
        size: width and height.
        points: [6, 2], the person's right eye, left eye, tip of the nose, mouth, right ear and left ear.
        quarters: number of anticlockwise quarter turns of the view in which the network saw the face.
    """

    score: float
    center: tuple[float, float]
    size: tuple[float, float]
    points: Points
    quarters: int = 0

    @property
    def eyes_and_mouth(self) -> Points:
        """Right eye, left eye and mouth [3, 2]."""
        return self.points[[0, 1, 3]]


@dataclass(frozen=True, slots=True)
class _Window:
    """The square of the picture that the network sees; it may extend beyond the picture."""

    x: float
    y: float
    side: float


class Detector:
    """Finds faces; safe to call from several threads."""

    def __init__(self) -> None:
        self._model = LiteModel(DETECTOR.read())
        cells = (np.arange(_GRID) + 0.5) / _GRID
        self._anchors = np.stack(np.meshgrid(cells, cells), -1).reshape(-1, 1, 2)

    def detect(self, picture: Pixels) -> list[Detection]:
        """Find the upright faces of a picture, largest first, and hints of others (see ``MIN_SCORE``).

        The network sees 192 × 192 pixels and finds faces of at least 14 pixels. The first pass shows it the whole
        picture. If that finds no face, a second pass shows the picture smaller, for a face that fills it. Then come
        tiles whose sides are 4/7 of the picture's, and 4/7 of those, as long as more faces are likely: the picture is
        large, no face has been found, or a face is so small that others of its size may have been missed.
        """
        height, width = picture.shape[:2]
        side = longer = float(max(height, width))
        found = self._look(picture, _around(width, height, longer))
        if not (found[:, 0] >= MIN_SCORE).any():
            back = self._look(picture, _around(width, height, longer * _STEP_BACK))
            found = _merged(np.concatenate([found, back]))
        looks = 0
        while side * _TILE > _MIN_TILE and _expects_more(found, side, longer):
            side *= _TILE
            tiles = _tiles(width, height, side)
            if side < _FINE_TILE and not _are_worth(tiles, found):
                break
            if (looks := looks + len(tiles)) > _MOST_TILES:
                break
            parts = [self._look_at_tile(picture, window) for window in tiles]
            found = _merged(np.concatenate([found, *parts]))
        order = np.argsort(-found[:, 3] * found[:, 4], kind="stable")
        return [_detection(row) for row in found[order]]

    def detect_turned(self, picture: Pixels) -> list[Detection]:
        """Detect faces in the whole picture turned by 90, 180 and 270 degrees; a face may be found several times."""
        height, width = picture.shape[:2]
        window = _around(width, height, max(height, width))
        return [
            _detection(row, quarters)
            for quarters in (1, 2, 3)
            for row in self._look(picture, window, quarters)
            if row[0] >= _MIN_TURNED_SCORE
        ]

    def turned(self, picture: Pixels, seen: Detection) -> Detection:
        """Examine a detection in all four rotations, and return the detection in the best one."""
        (quarters,) = self._best_sides(picture, [seen], (0, 1, 2, 3))
        return (self._look_again(picture, seen, quarters) if quarters else None) or seen

    def followed(self, picture: Pixels, hints: Sequence[Detection]) -> list[Detection]:
        """Examine up to three hints in the other three rotations, and return those that are faces there."""
        sides = self._best_sides(picture, hints, (1, 2, 3)) if hints else []
        again = [self._look_again(picture, hint, side) for hint, side in zip(hints, sides, strict=True) if side]
        return [seen for seen in again if seen is not None and seen.score >= _MIN_TURNED_SCORE]

    def _best_sides(self, picture: Pixels, seen: Sequence[Detection], sides: Sequence[int]) -> list[int | None]:
        """The best rotation of each detection in quarter turns; None: no face in any. Takes at most 9 views at once."""
        cells = 2 if len(seen) * len(sides) <= 4 else 3
        size = _INPUT // cells
        sheet = np.full((_INPUT, _INPUT, 3), -1, np.float32)
        for index, one in enumerate(seen):
            view = _shown(picture, _square_around(one), size)
            for turn, side in enumerate(sides):
                row, column = divmod(index * len(sides) + turn, cells)
                sheet[row * size : (row + 1) * size, column * size : (column + 1) * size] = np.rot90(view, side)
        found = self._seen(sheet)
        found = found[found[:, 0] >= MIN_SCORE]
        at = found[:, 1:3] * _INPUT / size
        at, off = np.floor(at).astype(int), np.abs(at % 1 - 0.5).max(1, initial=0)
        scores = np.zeros(max(cells * cells, len(seen) * len(sides)))
        middle = (off < _NEAR / _AROUND) & (at < cells).all(1)
        np.maximum.at(scores, at[middle, 1] * cells + at[middle, 0], found[middle, 0])
        of_each = scores[: len(seen) * len(sides)].reshape(len(seen), len(sides))
        return [sides[int(row.argmax())] if row.any() else None for row in of_each]

    def _look_again(self, picture: Pixels, seen: Detection, quarters: int) -> Detection | None:
        """Examine a detection in one rotation."""
        found = self._look(picture, _square_around(seen), quarters)
        near = np.hypot(*(found[:, 1:3] - seen.center).T) < _NEAR * max(seen.size)
        found = found[near & (found[:, 0] >= MIN_SCORE)]
        return _detection(found[0], quarters) if len(found) else None

    def _look(self, picture: Pixels, window: _Window, quarters: int = 0) -> Found:
        shown = _shown(picture, window, _INPUT)
        found = self._seen(np.ascontiguousarray(np.rot90(shown, quarters)) if quarters else shown)
        if quarters:
            found = _turned_back(found, quarters)
        found[:, 1:] *= window.side
        found[:, _X] += window.x
        found[:, _X + 1] += window.y
        return _merged(found)

    def _seen(self, shown: NDArray[np.float32]) -> Found:
        """Run the network on a square [192, 192, 3]: faces and hints, not merged, in units of the square's side."""
        boxes, logits = self._model(shown[None])
        good = np.flatnonzero(logits[0, :, 0] > _MIN_LOGIT)
        scores = 1 / (1 + np.exp(-logits[0, good, 0].astype(np.float64)))
        found = np.empty((good.size, 17))
        found[:, 0] = scores
        found[:, 1:] = boxes[0, good] / _INPUT
        found[:, _X] += self._anchors[good, :, 0]
        found[:, _X + 1] += self._anchors[good, :, 1]
        return found

    def _look_at_tile(self, picture: Pixels, tile: _Window) -> Found:
        """Look at a tile; drop faces that its edge cuts, unless that is an edge of the picture."""
        found = self._look(picture, tile)
        low, high = _corners(found)
        start = np.array([tile.x, tile.y])
        end = start + tile.side
        inner_start = np.where(start > 0, start, -np.inf)
        inner_end = np.where(end < (picture.shape[1], picture.shape[0]), end, np.inf)
        return found[((low > inner_start) & (high < inner_end)).all(1)]


def _shown(picture: Pixels, window: _Window, size: int) -> NDArray[np.float32]:
    """The network's input for a window: float32 [size, size, 3], from -1 to 1, black outside the picture."""
    height, width = picture.shape[:2]
    left, top = max(0, round(window.x)), max(0, round(window.y))
    right, bottom = min(width, round(window.x + window.side)), min(height, round(window.y + window.side))
    scale = size / window.side
    x, y = max(0, round((left - window.x) * scale)), max(0, round((top - window.y) * scale))
    columns = min(size - x, max(1, round((right - left) * scale)))
    rows = min(size - y, max(1, round((bottom - top) * scale)))
    part: NDArray[Any] = picture[top:bottom, left:right]
    # Halving and then interpolating is ten times as fast as OpenCV's area mean over fractions of pixels, and as good.
    while part.shape[0] >= 2 * rows and part.shape[1] >= 2 * columns:
        part = cv2.resize(part, (part.shape[1] // 2, part.shape[0] // 2), interpolation=cv2.INTER_AREA)
    part = cv2.resize(part, (columns, rows), interpolation=cv2.INTER_LINEAR)
    shown = np.full((size, size, 3), -1, np.float32)
    view = shown[y : y + rows, x : x + columns]
    np.multiply(part, np.float32(2 / 255), out=view)
    view -= 1
    return shown


def _around(width: int, height: int, side: float) -> _Window:
    return _Window((width - side) / 2, (height - side) / 2, side)


def _turned_back(found: Found, quarters: int) -> Found:
    """Detections in a rotated square of side 1, in the coordinates of the square before rotation."""
    places = found[:, 1:].reshape(-1, 8, 2)
    turned = places.copy()
    for _ in range(quarters):
        turned = np.stack([1 - turned[..., 1], turned[..., 0]], -1)
    turned[:, 1] = places[:, 1, ::-1] if quarters % 2 else places[:, 1]
    return np.column_stack([found[:, 0], turned.reshape(-1, 16)])


def _square_around(seen: Detection) -> _Window:
    side = _AROUND * max(seen.size)
    return _Window(seen.center[0] - side / 2, seen.center[1] - side / 2, side)


def _expects_more(found: Found, side: float, longer: float) -> bool:
    """Whether tiles smaller than ``side`` are likely to find more faces."""
    faces = found[found[:, 0] >= MIN_SCORE]
    many_hints = len(found) >= _CROWD_OF_HINTS
    if not len(faces) and not many_hints:
        return side == longer or side >= _EMPTY
    small = _SMALL_FACE_IN_CROWD if many_hints or len(faces) >= _CROWD else _SMALL_FACE
    width = faces[:, 3].min() if len(faces) else np.median(found[:, 3])
    return side > _LARGE or bool(width * _INPUT < small * side)


def _are_worth(tiles: Sequence[_Window], found: Found) -> bool:
    """Whether there are enough small faces to justify fine tiles."""
    small = (found[:, 0] >= MIN_SCORE) & (found[:, 3] * _INPUT < _SMALL_FACE_IN_CROWD * tiles[0].side / _TILE)
    return bool(small.sum() * _TILES_A_FACE >= len(tiles))


def _tiles(width: int, height: int, side: float) -> list[_Window]:
    def starts(length: int) -> list[float]:
        if length <= side:
            return [(length - side) / 2]
        # The small margin makes two tiles of 4/7 enough despite rounding.
        count = math.ceil((length - side) / (side * (1 - _OVERLAP)) - 1e-6) + 1
        return [float(start) for start in np.linspace(0, length - side, count)]

    return [_Window(x, y, side) for y in starts(height) for x in starts(width)]


def _detection(row: NDArray[np.float64], quarters: int = 0) -> Detection:
    score, x, y, width, height = row[:5].tolist()
    return Detection(score, (x, y), (width, height), row[5:].reshape(6, 2), quarters)


def _corners(found: Found) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    half = found[:, 3:5] / 2
    return found[:, 1:3] - half, found[:, 1:3] + half


def _merged(found: Found) -> Found:
    """Merge overlapping detections: one row per face, their mean weighted by score, with the best score."""
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
        if group[0, 0] >= MIN_SCORE:
            group = group[group[:, 0] >= MIN_SCORE]
        weights = group[:, 0]
        face = weights @ group / weights.sum()
        face[0] = group[0, 0]
        faces.append(face)
        rest = rest[~(same | (common > _INSIDE * np.minimum(areas[best], areas[rest])))]
    return np.array(faces).reshape(-1, found.shape[1])
