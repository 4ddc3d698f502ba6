"""Synthetic pictures that are reproducible to the last bit: random grids, interpolated with integers."""

from __future__ import annotations

import numpy as np

from models.embedder.dlib_format import CHIP_SIZE
from models.pictures.geometry import MEAN_FACE, Pixels, Points

_GRIDS = (2, 3, 5, 9, 15, 31, 75, 150)
_SEEDS = (1, 2, 3)


def chips() -> Pixels:
    """Pictures [24, 150, 150, 3] to use as aligned faces, from smooth shading to plain noise."""
    return np.ascontiguousarray([_picture(grid, seed, CHIP_SIZE) for grid in _GRIDS for seed in _SEEDS])


def photograph() -> Pixels:
    """A picture [900, 900, 3] to use as a photograph."""
    return np.ascontiguousarray(_picture(40, 4, 900))


def placements() -> list[Points]:
    """Landmarks [5, 2] of five imagined faces in the photograph: small, large, turned, and beyond the edge."""
    poses = [
        (60, 0.0, 300, 300),
        (110, 0.3, 450, 400),
        (250, -0.2, 400, 500),
        (420, 0.1, 450, 450),
        (150, -0.6, 60, 820),
    ]
    placed = []
    for width, angle, x, y in poses:
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        placed.append(np.round((MEAN_FACE - 0.5) @ turn.T * width + (x, y)))
    return placed


def _picture(grid: int, seed: int, size: int) -> Pixels:
    # RandomState's numbers never change, unlike those of NumPy's newer generators.
    values = np.random.RandomState(seed * 1000 + grid).randint(0, 256, (grid, grid, 3))
    last = size - 1
    index, weight = np.divmod(np.arange(size) * (grid - 1), last)
    following = np.minimum(index + 1, grid - 1)
    down, across = weight[:, None, None], weight[None, :, None]
    rows = values[index] * (last - down) + values[following] * down
    pixels = rows[:, index] * (last - across) + rows[:, following] * across
    return np.asarray(pixels // last**2, np.uint8)
