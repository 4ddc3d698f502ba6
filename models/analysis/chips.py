"""Aligned faces as JPEG: how they are kept and sent."""

from __future__ import annotations

import cv2
import numpy as np

from models.pictures.geometry import Pixels

QUALITY = 95


def encode(chip: Pixels, quality: int = QUALITY) -> bytes:
    """An RGB chip as a JPEG of a quality from 1 to 100."""
    _, data = cv2.imencode(".jpg", chip[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data.tobytes()


def decode(jpeg: bytes) -> Pixels | None:
    """The RGB chip [height, width, 3] in a JPEG, or None if there is none in it."""
    decoded = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) if jpeg else None
    return None if decoded is None else np.asarray(decoded[..., ::-1], np.uint8)
