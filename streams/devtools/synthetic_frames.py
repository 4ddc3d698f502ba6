"""Camera frames made from photographs: a person who moves in front of a camera, in changing light."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from infra.photos import sample_photos

WIDTH, HEIGHT = 640, 480

_SWAY_PX = 45.0
_TURN_DEGREES = 6.0
_NOISE_LEVELS = 3.0


class Scene:
    """An endless sequence of different 640×480 JPEG frames of one photograph; the same seed gives the same frames."""

    def __init__(self, photo: Path, seed: int = 0) -> None:
        """Read the photograph.

        Raises:
            ValueError: it is no picture.
        """
        picture = cv2.imread(str(photo), cv2.IMREAD_COLOR)
        if picture is None:
            raise ValueError(f"{photo} is not a picture")
        self._picture = np.asarray(picture, np.uint8)
        self._seed = seed

    def __iter__(self) -> Iterator[bytes]:
        random = np.random.default_rng(self._seed)
        phases = random.uniform(0, 2 * np.pi, 5)
        speeds = random.uniform(0.05, 0.25, 5)
        number = 0
        while True:
            sway, rise, nearness, turn, light = np.sin(phases + speeds * number)
            frame = self._placed(sway, rise, nearness, turn)
            bright = frame * (1.0 + 0.2 * light) + random.normal(0, _NOISE_LEVELS, (HEIGHT, WIDTH, 1))
            encoded = cv2.imencode(".jpg", np.clip(bright, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 85])
            yield encoded[1].tobytes()
            number += 1

    def _placed(self, sway: float, rise: float, nearness: float, turn: float) -> NDArray[np.float32]:
        """A frame with the photograph moved, scaled and rotated; each argument from -1 to 1."""
        height, width = self._picture.shape[:2]
        scale = HEIGHT / height * (1.25 + 0.35 * nearness)
        matrix = cv2.getRotationMatrix2D((width / 2, height * 0.4), _TURN_DEGREES * turn, scale)
        matrix[:, 2] += (
            WIDTH / 2 + _SWAY_PX * sway - width / 2,
            HEIGHT * 0.48 + 0.5 * _SWAY_PX * rise - height * 0.4,
        )
        placed = cv2.warpAffine(
            self._picture, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE
        )
        return placed.astype(np.float32)


def side_by_side(photos: Sequence[Path]) -> bytes:
    """One photo as it is, or several as one JPEG, scaled to the height of the first."""
    if len(photos) == 1:
        return photos[0].read_bytes()
    pictures = [np.asarray(cv2.imread(str(photo), cv2.IMREAD_COLOR), np.uint8) for photo in photos]
    height = pictures[0].shape[0]
    scaled = [cv2.resize(one, (one.shape[1] * height // one.shape[0], height)) for one in pictures]
    return cv2.imencode(".jpg", np.hstack(scaled))[1].tobytes()


def frames_of_people(count: int) -> list[bytes]:
    """So many different frames of three sample photographs with one face each."""
    photos = sample_photos()
    scenes = [Scene(photos / name, seed) for seed, name in enumerate(("obama.jpg", "biden.jpg", "obama3.jpg"))]
    return [jpeg for scene in scenes for jpeg in itertools.islice(scene, count // len(scenes))]
