"""Times the search for faces in pictures of several sizes, by the networks that it runs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
from PIL import Image

from infra.photos import sample_photos
from models.analysis.blazeface import SIDE, BlazeFace
from models.analysis.finder import FaceFinder
from models.analysis.landmarks import FaceMesh
from models.analysis.yunet import YuNet
from models.embedder.assets import DETECTOR
from models.embedder.litert import LiteModel
from models.pictures.geometry import Pixels
from streams.devtools.benchmarks.rows import Figures

SIZES = ((320, 240), (640, 480), (1280, 720), (1920, 1080))
"""Columns and rows of the pictures."""
_STAGES: tuple[tuple[str, type, str], ...] = (
    ("blazeface", BlazeFace, "__call__"),
    ("mesh", FaceMesh, "find"),
    ("yunet", YuNet, "__call__"),
)
_REST = "rest"
"""The stage of everything else: cutting out what the networks see, and merging what they have seen."""
_FACE = 0.6
"""Height of the photograph in a picture, as a share of the picture's."""
_NOISE_LEVELS = 3.0


def measure(rounds: int, sizes: Sequence[tuple[int, int]] = SIZES) -> Iterator[Figures]:
    """Search pictures that show one person, and pictures that show nobody, on one thread.

    The yardstick is a look at 192 × 192 pixels by BlazeFace in LiteRT, timed between the pictures: on a busy machine,
    only ratios count.

    Args:
        rounds: how often each picture is searched; the medians count.
        sizes: columns and rows of the pictures.

    Yields:
        ``yardstick_ms`` and ``pictures``: ``size``, ``shows``, ``faces`` found, ``ms`` of processor time, ``looks``
        that take as long, and ``stages`` by name, in ms.

    Raises:
        infra.photos.PhotosUnavailable: the sample photographs cannot be downloaded.
    """
    finder, yardstick = FaceFinder(), LiteModel(DETECTOR.read())
    pictures = {(size, shows): _picture(size, shows == "a face") for size in sizes for shows in ("a face", "nobody")}
    faces = {which: len(finder.find(picture)) for which, picture in pictures.items()}
    times: dict[tuple[tuple[int, int], str], list[float]] = {which: [] for which in pictures}
    stages: dict[tuple[tuple[int, int], str], list[Counter[str]]] = {which: [] for which in pictures}
    noise = np.random.default_rng(0).uniform(-1, 1, (1, SIDE, SIDE, 3)).astype(np.float32)
    yardsticks = []
    for _ in range(rounds):
        for which, picture in pictures.items():
            yardsticks.append(_ms(lambda: yardstick(noise)))
            with _by_stage() as spent:
                took = _ms(lambda picture=picture: finder.find(picture))  # type: ignore[misc]
            times[which].append(took)
            stages[which].append(Counter(spent | {_REST: took - sum(spent.values())}))
    look = median(yardsticks)
    yield {"yardstick_ms": round(look, 2)}
    yield {
        "pictures": [
            {
                "size": f"{size[0]}x{size[1]}",
                "shows": shows,
                "faces": faces[size, shows],
                "ms": round(median(took), 1),
                "looks": round(median(took) / look, 1),
                "stages": {
                    stage: round(median(one[stage] for one in stages[size, shows]), 1)
                    for stage in (*(name for name, _, _ in _STAGES), _REST)
                },
            }
            for (size, shows), took in times.items()
        ]
    }


def _picture(size: tuple[int, int], shows_face: bool) -> Pixels:
    """A grey wall with a camera's noise; before it may stand a person."""
    columns, rows = size
    wall = np.linspace(80, 150, columns)[None, :, None] + np.zeros((rows, 1, 3))
    if shows_face:
        photo = np.asarray(Image.open(sample_photos() / "obama.jpg").convert("RGB"))
        height = round(_FACE * rows)
        width = round(height * photo.shape[1] / photo.shape[0])
        left = (columns - width) // 2
        wall[rows - height :, left : left + width] = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA)
    noisy = wall + np.random.default_rng(0).normal(0, _NOISE_LEVELS, wall.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


@contextmanager
def _by_stage() -> Iterator[Counter[str]]:
    """Count the milliseconds of processor time that each network takes meanwhile."""
    spent: Counter[str] = Counter()

    def timed(stage: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*given: Any, **named: Any) -> Any:
            start = time.process_time()
            try:
                return call(*given, **named)
            finally:
                spent[stage] += (time.process_time() - start) * 1000  # type: ignore[assignment]

        return run

    with ExitStack() as patched:
        for stage, of, name in _STAGES:
            patched.enter_context(patch.object(of, name, timed(stage, getattr(of, name))))
        yield spent


def _ms(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return (time.process_time() - start) * 1000
