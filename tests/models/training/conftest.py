from __future__ import annotations

import cv2
import numpy as np
import pytest

from models import chips
from models.analyzer import Analyzer
from models.geometry import Pixels
from models.training.samples import Sample, TrainingSet
from tests.models.conftest import Photo

SIZE = 150


def person(faces: list[Pixels], number: int) -> Pixels:
    """A face that nobody has: portraits laid over each other, stretched and mirrored otherwise for every number."""
    random = np.random.default_rng([number, 99])
    one, other = (faces[at] for at in random.integers(0, len(faces), 2))
    face = cv2.addWeighted(one, part := random.uniform(0.2, 0.8), other, 1 - part, 0)
    if random.random() < 0.5:
        face = face[:, ::-1]
    corners = np.array([[0, 0], [SIZE, 0], [0, SIZE], [SIZE, SIZE]], np.float32)
    moved = corners + random.uniform(-25, 25, (4, 2)).astype(np.float32)
    warped = cv2.warpPerspective(face, cv2.getPerspectiveTransform(corners, moved), (SIZE, SIZE), borderMode=1)
    return np.asarray(warped, np.uint8)


@pytest.fixture(scope="session")
def faces(analyzer: Analyzer, photo: Photo) -> list[Pixels]:
    analyses = analyzer.analyze([photo(name) for name in ("obama", "obama2", "obama3", "biden")])
    return [chip for analysis in analyses for chip in analysis.chips[:1] if chip is not None]


@pytest.fixture(scope="session")
def people(faces: list[Pixels]) -> TrainingSet:
    """20 made-up people of 3 pictures each."""
    from models.training.degrade import shifted

    samples = [
        Sample(
            f"{number:02d}-{view}", "user", f"{number:02d}", chips.encode(shifted(person(faces, number), 0.04, random))
        )
        for number in range(20)
        for random in [np.random.default_rng(number)]
        for view in range(3)
        for picture in [shifted(person(faces, number), 0.04, random)]
    ]
    return TrainingSet.of(samples, SIZE)
