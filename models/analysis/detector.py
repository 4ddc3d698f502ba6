"""Detects faces: in one pass, and in tiles if faces may be too small for one pass.

In a large picture, the smallest faces are looked for where YuNet proposes some, because as small tiles would be many.
docs/models.md has the figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.analysis.blazeface import SIDE, BlazeFace, Found
from models.analysis.views import Picture, View, square, tiles, whole
from models.analysis.yunet import STEP, Proposals, YuNet
from models.pictures.geometry import Points

MIN_SCORE = 0.4
"""Lowest score of a face. A detection below it is a hint: possibly a rotated face, but usually nothing."""
_MIN_TURNED_SCORE = 0.5
"""Lowest score of a face that is found only in a rotated view."""
_MIN_HINT = 0.2
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
_MOST_PROPOSED = 3_000_000
"""Most pixels that YuNet sees at once."""
_PROPOSED = 0.15
"""Lowest score of a proposal."""
_LIKELY = 0.6
"""A proposal with this score is looked at by itself; others in sheets of nine, of which so many:"""
_SHEETS = 3
_EMPTY = 640
_SMALL_FACE = 15
_SMALL_FACE_IN_CROWD = 24
_CROWD = 3
_CROWD_OF_HINTS = 8
"""This many hints suggest a crowd of faces that are too small for the current tile size."""
_STEP_BACK = 1.8
_AROUND = 2.5
"""Side of the square in which a face is examined again, as a multiple of its size."""
_NEAR = 0.7
"""Largest distance between two detections of the same face there, as a multiple of its size."""


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


class Detector:
    """Finds faces; safe to call from several threads.

    Args:
        yunet: proposes small faces in large pictures; None: tiles of all sizes find them.
    """

    def __init__(self, yunet: YuNet | None) -> None:
        self._network = BlazeFace()
        self._yunet = yunet

    def detect(self, picture: Picture) -> list[Detection]:
        """Find the upright faces of a picture, largest first, and hints of others (see ``MIN_SCORE``).

        The network sees 192 × 192 pixels and finds faces of at least 14 pixels. The first pass shows it the whole
        picture. If that finds no face, a second pass shows the picture smaller, for a face that fills it. Then come
        tiles whose sides are 4/7 of the picture's, and 4/7 of those, as long as more faces are likely: the picture is
        large, no face has been found, or a face is so small that others of its size may have been missed. In a large
        picture, YuNet's proposals replace the tiles from the third size on.
        """
        side = longer = picture.longer
        found = self._look(picture, _around(picture, longer))
        if not (found[:, 0] >= MIN_SCORE).any():
            back = self._look(picture, _around(picture, longer * _STEP_BACK))
            found = _merged(np.concatenate([found, back]))
        sizes = looks = 0
        while side * _TILE > _MIN_TILE and _expects_more(found, side, longer):
            side *= _TILE
            sizes += 1
            if sizes == 1 and side > _LARGE:
                # The next tiles follow in any case, and these show little more than the whole picture.
                continue
            at_once = whole(picture.width, picture.height, side / SIDE, STEP)
            if sizes > 2 and longer > _LARGE and self._yunet and at_once.columns * at_once.rows <= _MOST_PROPOSED:
                proposals = _merged(_in_picture(_as_found(self._yunet(picture.show(at_once), _PROPOSED)), at_once))
                found = self._at_proposals(picture, found, proposals)
                continue
            in_tiles = tiles(picture.width, picture.height, side, SIDE)
            if side < _FINE_TILE and not _are_worth(in_tiles, found):
                break
            if (looks := looks + len(in_tiles)) > _MOST_TILES:
                break
            parts = [self._look_at_tile(picture, tile) for tile in in_tiles]
            found = _merged(np.concatenate([found, *parts]))
        order = np.argsort(-found[:, 3] * found[:, 4], kind="stable")
        return [_detection(row) for row in found[order]]

    def _at_proposals(self, picture: Picture, found: Found, proposals: Found) -> Found:
        """Look where faces are proposed."""
        proposals = _elsewhere(proposals, found)
        likely = proposals[:, 0] >= _LIKELY
        places = [*proposals[likely], *self._promising(picture, proposals[~likely][: _SHEETS * 9])]
        return _merged(np.concatenate([found, *(self._at_place(picture, _detection(one)) for one in places)]))

    def _promising(self, picture: Picture, proposals: Found) -> Found:
        """The proposals that look like faces, at nine a look."""
        sheets = [proposals[start : start + 9] for start in range(0, len(proposals), 9)]
        sides = [self._best_sides(picture, [_detection(one) for one in sheet], (0,)) for sheet in sheets]
        return proposals[[side is not None for of_sheet in sides for side in of_sheet]]

    def detect_turned(self, picture: Picture) -> list[Detection]:
        """Detect faces in the whole picture turned by 90, 180 and 270 degrees; a face may be found several times."""
        view = _around(picture, picture.longer)
        return [
            _detection(row, quarters)
            for quarters in (1, 2, 3)
            for row in self._look(picture, view, quarters, quickly=True)
            if row[0] >= _MIN_TURNED_SCORE
        ]

    def turned(self, picture: Picture, seen: Detection) -> Detection:
        """Examine a detection in all four rotations, and return the detection in the best one."""
        (quarters,) = self._best_sides(picture, [seen], (0, 1, 2, 3))
        return (self._look_again(picture, seen, quarters) if quarters else None) or seen

    def followed(self, picture: Picture, hints: Sequence[Detection]) -> list[Detection]:
        """Examine up to three hints in the other three rotations, and return those that are faces there."""
        sides = self._best_sides(picture, hints, (1, 2, 3)) if hints else []
        again = [self._look_again(picture, hint, side) for hint, side in zip(hints, sides, strict=True) if side]
        return [seen for seen in again if seen is not None and seen.score >= _MIN_TURNED_SCORE]

    def _best_sides(self, picture: Picture, seen: Sequence[Detection], sides: Sequence[int]) -> list[int | None]:
        """The best rotation of each detection in quarter turns; None: no face in any. Takes at most 9 views at once."""
        cells = 2 if len(seen) * len(sides) <= 4 else 3
        size = SIDE // cells
        sheet = np.full((SIDE, SIDE, 3), -1, np.float32)
        for index, one in enumerate(seen):
            shown = picture.show(_square_around(one, size))
            for turn, side in enumerate(sides):
                row, column = divmod(index * len(sides) + turn, cells)
                sheet[row * size : (row + 1) * size, column * size : (column + 1) * size] = np.rot90(shown, side)
        found = self._network(sheet, MIN_SCORE)
        at = found[:, 1:3] / size
        at, off = np.floor(at).astype(int), np.abs(at % 1 - 0.5).max(1, initial=0)
        scores = np.zeros(max(cells * cells, len(seen) * len(sides)))
        middle = (off < _NEAR / _AROUND) & (at < cells).all(1)
        np.maximum.at(scores, at[middle, 1] * cells + at[middle, 0], found[middle, 0])
        of_each = scores[: len(seen) * len(sides)].reshape(len(seen), len(sides))
        return [sides[int(row.argmax())] if row.any() else None for row in of_each]

    def _look_again(self, picture: Picture, seen: Detection, quarters: int) -> Detection | None:
        """Examine a detection in one rotation."""
        found = self._at_place(picture, seen, quarters)
        return _detection(found[0], quarters) if len(found) else None

    def _at_place(self, picture: Picture, seen: Detection, quarters: int = 0) -> Found:
        """The face at the place of a detection, or none."""
        found = self._look(picture, _square_around(seen, SIDE), quarters)
        near = np.hypot(*(found[:, 1:3] - seen.center).T) < _NEAR * max(seen.size)
        best: Found = found[near & (found[:, 0] >= MIN_SCORE)][:1]
        return best

    def _look(self, picture: Picture, view: View, quarters: int = 0, *, quickly: bool = False) -> Found:
        """Faces and hints in a square; ``quickly``: see :class:`BlazeFace`."""
        shown = np.ascontiguousarray(np.rot90(picture.show(view), quarters))
        found = self._network(shown, _MIN_HINT, quickly=quickly)
        return _merged(_in_picture(_turned_back(found, quarters), view))

    def _look_at_tile(self, picture: Picture, tile: View) -> Found:
        """Look at a tile; drop faces that its edge cuts, unless that is an edge of the picture."""
        found = self._look(picture, tile, quickly=True)
        low, high = _corners(found)
        start = np.array([tile.x, tile.y])
        end = np.array([tile.x + tile.width, tile.y + tile.height])
        inner_start = np.where(start > 0, start, -np.inf)
        inner_end = np.where(end < (picture.width, picture.height), end, np.inf)
        return found[((low > inner_start) & (high < inner_end)).all(1)]


def _around(picture: Picture, side: float) -> View:
    return square(picture.width / 2, picture.height / 2, side, SIDE)


def _in_picture(found: Found, view: View) -> Found:
    """Detections in pixels of what was shown, in pixels of the picture."""
    found[:, 1:] *= view.scale
    places = np.delete(found[:, 1:].reshape(-1, 8, 2), 1, 1)
    places += (view.x, view.y)
    return np.column_stack([found[:, 0], places[:, 0], found[:, 3:5], places[:, 1:].reshape(-1, 12)])


def _turned_back(found: Found, quarters: int) -> Found:
    """Detections in a rotated view, in the coordinates of the view before rotation."""
    if not quarters:
        return found
    places = found[:, 1:].reshape(-1, 8, 2)
    turned = places.copy()
    for _ in range(quarters):
        turned = np.stack([SIDE - turned[..., 1], turned[..., 0]], -1)
    turned[:, 1] = places[:, 1, ::-1] if quarters % 2 else places[:, 1]
    return np.column_stack([found[:, 0], turned.reshape(-1, 16)])


def _as_found(proposals: Proposals) -> Found:
    """Proposals with the middle of the mouth for its corners, and the eyes for the ears."""
    mouth = (proposals[:, 11:13] + proposals[:, 13:15]) / 2
    return np.column_stack([proposals[:, :11], mouth, proposals[:, 5:9]])


def _elsewhere(proposals: Found, found: Found) -> Found:
    """The proposals whose centres are in no face, best first."""
    low, high = _corners(found[found[:, 0] >= MIN_SCORE])
    centers = proposals[:, None, 1:3]
    in_a_face = np.any(np.all((low < centers) & (centers < high), axis=2), axis=1)
    proposals = proposals[~in_a_face]
    return proposals[np.argsort(-proposals[:, 0], kind="stable")]


def _square_around(seen: Detection, pixels: int) -> View:
    return square(*seen.center, _AROUND * max(seen.size), pixels)


def _expects_more(found: Found, side: float, longer: float) -> bool:
    """Whether tiles smaller than ``side`` are likely to find more faces."""
    faces = found[found[:, 0] >= MIN_SCORE]
    many_hints = len(found) >= _CROWD_OF_HINTS
    if not len(faces) and not many_hints:
        return side == longer or side >= _EMPTY
    small = _SMALL_FACE_IN_CROWD if many_hints or len(faces) >= _CROWD else _SMALL_FACE
    width = faces[:, 3].min() if len(faces) else np.median(found[:, 3])
    return side > _LARGE or bool(width * SIDE < small * side)


def _are_worth(in_tiles: Sequence[View], found: Found) -> bool:
    """Whether there are enough small faces to justify fine tiles."""
    small = (found[:, 0] >= MIN_SCORE) & (found[:, 3] < _SMALL_FACE_IN_CROWD * in_tiles[0].scale / _TILE)
    return bool(small.sum() * _TILES_A_FACE >= len(in_tiles))


def _detection(row: NDArray[np.float64], quarters: int = 0) -> Detection:
    score, x, y, width, height = row[:5].tolist()
    return Detection(score, (x, y), (width, height), row[5:].reshape(6, 2), quarters)


def _corners(found: Found) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    half = found[:, 3:5] / 2
    return found[:, 1:3] - half, found[:, 1:3] + half


def _merged(found: Found) -> Found:
    """Merge overlapping detections: one row per face, their mean weighted by score, with the best score."""
    if not len(found):
        return found
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
