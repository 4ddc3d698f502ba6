"""The result of analysing a picture, and the interface of analyzers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.embeddings import Face
from schemas.parts import Refusal

Chip = NDArray[np.uint8]
"""An aligned face, RGB [size, size, 3]."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """The result for one picture. All lengths are pixels of the upright picture.

    Attributes:
        width: of the picture.
        height: of the picture.
        faces: largest first.
        refusal: why the picture as a whole was refused; None if it was not.
        chips: the aligned face of each of ``faces``; None for a refused face.
        decode_ms: time to decode; likewise the other times, ``embed_ms`` being that of the whole micro-batch.
    """

    width: int = 0
    height: int = 0
    faces: list[Face] = field(default_factory=list)
    refusal: Refusal | None = None
    chips: list[Chip | None] = field(default_factory=list)
    decode_ms: float = 0.0
    detect_ms: float = 0.0
    align_ms: float = 0.0
    embed_ms: float = 0.0


class FaceAnalyzer(Protocol):
    """Turns pictures into faces with vectors."""

    @property
    def model_version(self) -> str:
        """The model version that is used if none is named."""

    @property
    def versions(self) -> Collection[str]:
        """The model versions that are loaded."""

    def load(self, folder: Path) -> None:
        """Load another version and warm it up, while the others stay in use.

        Raises:
            UnusableModel: card or weights cannot be used.
        """

    def unload(self, version: str) -> None:
        """Unload a version. No picture that uses it may be in progress."""

    def warm_up(self) -> None:
        """Load and compile everything, so that the first picture takes no longer than later ones."""

    def analyze(
        self,
        pictures: Sequence[bytes | Refusal],
        *,
        enrolment: bool | Sequence[bool] = False,
        versions: Sequence[Sequence[str]] | None = None,
    ) -> list[Analysis]:
        """Analyse a micro-batch. Safe to call from several threads.

        Args:
            pictures: encoded pictures; a Refusal is passed through.
            enrolment: whether the stricter limits of templates apply, for all pictures or for each.
            versions: for each picture, the model versions that embed its faces, at least one. The first gives
                ``Face.vector``, the others ``Face.others``. None: ``model_version``.

        Returns:
            One analysis per picture, in order. A bad picture does not affect the others.
        """

    def close(self) -> None:
        """Release threads and memory."""
