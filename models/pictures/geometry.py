"""Plane geometry of faces: dlib's mean face, similarity transforms, and cutting squares out of pictures."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""RGB [height, width, 3]."""

Inside = NDArray[np.bool_]
"""A mask [rows, columns] of a square's pixels that lie in the picture."""

Points = NDArray[np.float64]
"""Positions [n, 2] as x, y in pixels; the centre of a pixel has integer coordinates."""

Transform = NDArray[np.float64]
"""An affine map [2, 3] of column vectors (x, y, 1)."""

MEAN_FACE: Points = np.array(
    [
        [0.8595674595992, 0.2134981538014],
        [0.6460604764104, 0.2289674387677],
        [0.1205750620789, 0.2137274526848],
        [0.3340850613712, 0.2290642403242],
        [0.4901123135679, 0.6277975316475],
    ]
)
"""dlib's five points (see Face.landmarks) in a frame of width 1. Source: dlib, ``interpolation.h``."""

ARCFACE: Points = (
    np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]) / 112
)
"""Right eye, left eye, tip of the nose and the corners of the mouth, in a frame of width 1. Source: Deng et al.,
ArcFace (2019), the template for 112 pixels."""

EYES_AND_MOUTH: Points = np.array([MEAN_FACE[2:4].mean(0), MEAN_FACE[:2].mean(0), [0.49, 0.81]])
"""Right eye, left eye and mouth in the frame of ``MEAN_FACE``."""


def similarity(source: Points, target: Points) -> Transform:
    """The least-squares similarity transform (rotation, scaling, shift) from source [n, 2] to target [n, 2]."""
    source_mean, target_mean = source.mean(0), target.mean(0)
    a, b = source - source_mean, target - target_mean
    norm = np.square(a).sum()
    cosine = (a * b).sum() / norm
    sine = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / norm
    rotation = np.array([[cosine, -sine], [sine, cosine]])
    return np.column_stack([rotation, target_mean - rotation @ source_mean])


def scale_of(transform: Transform) -> float:
    """The scale factor of a similarity transform."""
    return float(np.hypot(transform[0, 0], transform[1, 0]))


def apply(transform: Transform, points: Points) -> Points:
    """Transform points [n, 2]."""
    return np.asarray(points @ transform[:, :2].T + transform[:, 2])


def cut(picture: Pixels, to_picture: Transform, size: int) -> Pixels:
    """Cut a square [size, size, 3] out of a picture; it is black outside the picture.

    Args:
        picture: RGB [height, width, 3].
        to_picture: the similarity transform from the square to the picture.
        size: rows and columns of the square.
    """
    shrink = int(scale_of(to_picture))
    corners = apply(to_picture, np.array([[0, 0], [size, 0], [0, size], [size, size]], np.float64))
    height, width = picture.shape[:2]
    left, top = np.maximum(np.floor(corners.min(0)).astype(int) - shrink - 1, 0).tolist()
    right, bottom = np.minimum(np.ceil(corners.max(0)).astype(int) + shrink + 2, (width, height)).tolist()
    if right - left < max(shrink, 1) or bottom - top < max(shrink, 1):
        return np.zeros((size, size, 3), np.uint8)
    # OpenCV's warp takes no picture with a side above 32,767, so it gets only this part.
    part: NDArray[Any] = picture[top:bottom, left:right]
    move = to_picture.copy()
    move[:, 2] -= (left, top)
    if shrink > 1:
        # Bilinear interpolation uses four pixels only, so a face much larger than the square would show a moiré.
        columns, rows = part.shape[1] // shrink, part.shape[0] // shrink
        part = cv2.resize(part[: rows * shrink, : columns * shrink], (columns, rows), interpolation=cv2.INTER_AREA)
        move[:, 2] = (move[:, 2] + 0.5) / shrink - 0.5
        move[:, :2] /= shrink
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(part, move, (size, size), flags=flags), np.uint8)


def inside(picture: Pixels, to_picture: Transform, size: int) -> Inside | None:
    """A mask [size, size] of a square's pixels that lie in the picture with all their neighbours; None: all do.

    Args:
        picture: RGB [height, width, 3].
        to_picture: the similarity transform from the square to the picture.
        size: rows and columns of the square.
    """
    height, width = picture.shape[:2]
    margin = scale_of(to_picture)
    low, high = np.full(2, margin), np.array([width - 1 - margin, height - 1 - margin])
    corners = apply(to_picture, np.array([[0, 0], [size - 1, 0], [0, size - 1], [size - 1, size - 1]], np.float64))
    if ((corners >= low) & (corners <= high)).all():
        return None
    rows, columns = np.mgrid[:size, :size]
    places = apply(to_picture, np.column_stack([columns.ravel(), rows.ravel()]).astype(np.float64))
    return ((places >= low) & (places <= high)).all(1).reshape(size, size)
