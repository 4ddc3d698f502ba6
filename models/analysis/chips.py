"""Encodes aligned faces as JPEG, in which they are stored and sent."""

from __future__ import annotations

import cv2
import numpy as np

from models.pictures.geometry import Pixels

QUALITY = 95


def encode(chip: Pixels, quality: int = QUALITY) -> bytes:
    """Encode an RGB chip [height, width, 3] as JPEG, with a quality from 1 to 100."""
    _, data = cv2.imencode(".jpg", chip[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data.tobytes()


def decode(jpeg: bytes) -> Pixels | None:
    """Decode a JPEG to an RGB chip [height, width, 3]; None if it cannot be decoded."""
    decoded = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) if jpeg else None
    return None if decoded is None else np.asarray(decoded[..., ::-1], np.uint8)
