"""An analyzer that does not decode pictures: equal bytes get equal vectors, and different bytes do not match.

It serves load and fault tests of everything except the networks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from models.analysis.face_analysis import Analysis
from models.embedder.card import Card, ChipGeometry, Output
from schemas.embeddings import Face, OtherVector
from schemas.parts import Box, Quality, Refusal
from schemas.reasons import Reason

DIMENSIONS = 128
CARD = Card(
    version="digest",
    description="Vectors from the SHA-256 of the picture; knows no faces.",
    chip=ChipGeometry(size=150, padding=0.25),
    output=Output(dimensions=DIMENSIONS, metric="euclidean"),
    fmr_curve=((0.5, 1e-9), (1.4, 0.5)),
    thresholds={"equal": 0.5},
    default_threshold="equal",
)
_QUALITY = Quality(score=1.0, size=60.0, sharpness=500.0, brightness=0.5, yaw=0.0, overall=1.0)
_LANDMARKS = [420.0, 220.0, 380.0, 222.0, 260.0, 220.0, 300.0, 222.0, 340.0, 280.0]


class DigestAnalyzer:
    """Gives each picture one face; its vectors of length 1 come from the SHA-256 of the bytes and the version.

    Vectors of different pictures or versions have distances of about 1.4, and practically never below 1.
    """

    model_version = CARD.version

    def __init__(self) -> None:
        self._versions = frozenset({CARD.version})

    @property
    def versions(self) -> Collection[str]:
        """The versions that are loaded."""
        return self._versions

    def load(self, folder: Path) -> None:
        """Add another version; only the name on its card is used."""
        self._versions |= {Card.read(folder).version}

    def unload(self, version: str) -> None:
        """Unload a version other than the first."""
        self._versions -= {version} - {self.model_version}

    def warm_up(self) -> None:
        """Nothing to load."""

    def analyze(
        self,
        pictures: Sequence[bytes | Refusal],
        *,
        enrolment: bool | Sequence[bool] = False,
        versions: Sequence[Sequence[str]] | None = None,
    ) -> list[Analysis]:
        """Return one analysis per picture, in order; empty pictures are refused."""
        wanted = [(self.model_version,)] * len(pictures) if versions is None else versions
        return [_analysis(picture, names) for picture, names in zip(pictures, wanted, strict=True)]

    def close(self) -> None:
        """Nothing to release."""


def _analysis(picture: bytes | Refusal, versions: Sequence[str]) -> Analysis:
    if isinstance(picture, Refusal):
        return Analysis(refusal=picture)
    if not picture:
        return Analysis(refusal=Refusal(Reason.EMPTY_PICTURE, "the picture has zero bytes"))
    vector, *rest = (_vector(picture, version) for version in versions)
    others = [OtherVector(version, one) for version, one in zip(versions[1:], rest, strict=True)]
    face = Face(Box(240.0, 140.0, 200.0, 200.0), list(_LANDMARKS), _QUALITY, vector=vector, others=others)
    return Analysis(width=640, height=480, faces=[face])


def _vector(picture: bytes, version: str) -> bytes:
    salt = b"" if version == CARD.version else version.encode() + b"\0"
    seed = int.from_bytes(hashlib.sha256(salt + picture).digest(), "little")
    vector = np.random.default_rng(seed).standard_normal(DIMENSIONS)
    return (vector / np.linalg.norm(vector)).astype("<f4").tobytes()
