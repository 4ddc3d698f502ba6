"""Cuts what a network sees out of a picture: a square around a face, a tile, or the whole picture at some scale."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.pictures.geometry import Pixels

_OVERLAP = 0.25
"""Of neighbouring tiles, as a share of their side."""


_SHOWN = np.arange(256, dtype=np.float32) * np.float32(2 / 255) - np.float32(1)
"""What a network is shown for each value of a pixel."""
_MOST_AFTER_THE_CUT = 2
"""Halvings of a part after it has been cut out. More are not needed: its corner is then right to a quarter of a pixel
of what is shown."""


@dataclass(frozen=True, slots=True)
class View:
    """A rectangle of the picture that a network sees; it may extend beyond the picture.

    Attributes:
        x: the left edge in pixels of the picture.
        y: the upper edge.
        scale: pixels of the picture per pixel of the network's input.
        columns: of the network's input.
        rows: likewise.
    """

    x: float
    y: float
    scale: float
    columns: int
    rows: int

    @property
    def width(self) -> float:
        """In pixels of the picture."""
        return self.columns * self.scale

    @property
    def height(self) -> float:
        """In pixels of the picture."""
        return self.rows * self.scale


def square(x: float, y: float, side: float, pixels: int) -> View:
    """A square around a point, shown in ``pixels`` × ``pixels``."""
    return View(x - side / 2, y - side / 2, side / pixels, pixels, pixels)


def whole(width: int, height: int, scale: float, step: int) -> View:
    """The whole picture at a scale, its sides rounded up to multiples of ``step``."""
    columns, rows = (math.ceil(length / scale / step - 1e-6) * step for length in (width, height))
    return View((width - columns * scale) / 2, (height - rows * scale) / 2, scale, columns, rows)


def tiles(width: int, height: int, side: float, pixels: int) -> list[View]:
    """Overlapping squares that cover the picture; their corners are whole pixels of the halved picture."""
    step = 1 << halvings(side / pixels)

    def starts(length: int) -> list[float]:
        if length <= side:
            return [(length - side) / 2]
        # The small margin makes two tiles of 4/7 enough despite rounding.
        count = math.ceil((length - side) / (side * (1 - _OVERLAP)) - 1e-6) + 1
        return [float(round(start / step) * step) for start in np.linspace(0, length - side, count)]

    return [View(x, y, side / pixels, pixels, pixels) for y in starts(height) for x in starts(width)]


def halvings(scale: float) -> int:
    """How often a picture is halved before it is shown at a scale."""
    return max(0, math.floor(math.log2(scale) + 1e-9))


class Picture:
    """A picture that is looked at several times, so its reductions are kept."""

    def __init__(self, pixels: Pixels) -> None:
        self.pixels = pixels
        self.height, self.width = pixels.shape[:2]
        self._halves: list[NDArray[Any]] = [pixels]

    @property
    def longer(self) -> float:
        """The longer side in pixels."""
        return float(max(self.width, self.height))

    def show(self, view: View) -> NDArray[np.float32]:
        """A network's input: float32 [rows, columns, 3], from -1 to 1, black outside the picture."""
        left, top = max(0, round(view.x)), max(0, round(view.y))
        right = min(self.width, round(view.x + view.width))
        bottom = min(self.height, round(view.y + view.height))
        x, y = max(0, round((left - view.x) / view.scale)), max(0, round((top - view.y) / view.scale))
        columns = min(view.columns - x, max(1, round((right - left) / view.scale)))
        rows = min(view.rows - y, max(1, round((bottom - top) / view.scale)))
        # Halving and then interpolating is ten times as fast as OpenCV's area mean over fractions of pixels, and as
        # good. A part whose corner is not a whole pixel of the half is halved after it has been cut out.
        times = halvings(view.scale)
        if left % (1 << times) or top % (1 << times):
            times = max(0, times - _MOST_AFTER_THE_CUT)
        part = self._halved(times)[top >> times : max(bottom >> times, 1), left >> times : max(right >> times, 1)]
        while part.shape[0] >= 2 * rows and part.shape[1] >= 2 * columns:
            part = _half(part)
        part = cv2.resize(part, (columns, rows), interpolation=cv2.INTER_LINEAR)
        inner = np.asarray(cv2.LUT(part, _SHOWN), np.float32)
        if (rows, columns) == (view.rows, view.columns):
            return inner
        shown = np.full((view.rows, view.columns, 3), -1, np.float32)
        shown[y : y + rows, x : x + columns] = inner
        return shown

    def _halved(self, times: int) -> NDArray[Any]:
        while len(self._halves) <= times:
            self._halves.append(_half(self._halves[-1]))
        return self._halves[times]


def _half(pixels: NDArray[Any]) -> NDArray[Any]:
    size = (max(1, pixels.shape[1] // 2), max(1, pixels.shape[0] // 2))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
