"""Tells frames in which something moves from those in which nothing does, for little of what finding faces costs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from cv2.typing import MatLike
    from numpy.typing import NDArray

GRID = 96
"""Cells along the longer side, about; a cell is an average, which leaves little of the sensor's noise."""
LEVELS = 8.0
"""A cell has changed if it is this much lighter or darker than the scene, of 255, beyond what all cells are."""
SHARE = 0.003
"""Something moves if this share of the cells has changed. The body below a face of 40 pixels covers three times as much
of a picture of 1920 × 1080."""
SCENE_S = 5.0
"""Time constant with which what stands still becomes part of the scene."""
HOLD_S = 2.0
"""Frames pass for this long after the last movement: a person who stops is worth another look."""


class MotionGate:
    """Lets the frames of one camera pass while something moves."""

    def __init__(self, *, share: float = SHARE, hold_s: float = HOLD_S) -> None:
        self._share = share
        self._hold_s = hold_s
        self._scene: NDArray[np.float32] | None = None
        self._seen_at = -math.inf
        self._moved_at = -math.inf
        self.changed = 0.0
        """The share of the cells that had changed in the last frame, 0 to 1."""

    def passes(self, picture: MatLike, at_s: float) -> bool:
        """Whether something moves in a frame, or has moved just before.

        Args:
            picture: uint8 BGR or grey.
            at_s: when it was taken, in seconds; not before the last one.
        """
        cells = _cells(picture)
        if self._scene is None or self._scene.shape != cells.shape:
            self._scene, self.changed, self._moved_at = cells, 1.0, at_s
        else:
            self.changed = self._compare(cells, self._scene, at_s)
            if self.changed >= self._share:
                self._moved_at = at_s
        self._seen_at = at_s
        return at_s - self._moved_at <= self._hold_s

    def _compare(self, cells: NDArray[np.float32], scene: NDArray[np.float32], at_s: float) -> float:
        """Compare with the scene, and let the frame become part of it."""
        import numpy as np

        # A lamp, a cloud or the camera's exposure changes all cells by about the same factor.
        lit = cells * np.median((scene + 1.0) / (cells + 1.0))
        difference = lit - scene
        changed = float(np.mean(np.abs(difference - np.median(difference)) > LEVELS))
        scene += (1.0 - math.exp(-max(0.0, at_s - self._seen_at) / SCENE_S)) * (cells - scene)
        return changed


def _cells(picture: MatLike) -> NDArray[np.float32]:
    import cv2
    import numpy as np

    side = max(1, max(picture.shape[:2]) // GRID)
    height, width = (max(1, length // side) for length in picture.shape[:2])
    # A whole number of pixels a cell is several times as fast; what is left at the edges is not looked at.
    small = cv2.resize(picture[: height * side, : width * side], (width, height), interpolation=cv2.INTER_AREA)
    return (cv2.cvtColor(small, cv2.COLOR_BGR2GRAY) if small.ndim == 3 else small).astype(np.float32)
