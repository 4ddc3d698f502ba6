"""The analysis of a picture, and the interface of analyzers."""

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
    """One picture: its faces, largest first, or why it has none. Lengths are pixels of the upright picture.

    ``chips`` holds the aligned face of each embedded face, in the order of ``faces``, None where a face was refused.
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
        """The version that makes vectors if none is named."""

    @property
    def versions(self) -> Collection[str]:
        """The model versions that are loaded."""

    def load(self, folder: Path) -> None:
        """Load another version and warm it up, while others are in use.

        Raises:
            UnusableModel: it cannot be used.
        """

    def unload(self, version: str) -> None:
        """Unload a version; no picture may be in progress."""

    def warm_up(self) -> None:
        """Load and compile everything, so that the first picture takes no longer than others."""

    def analyze(
        self,
        pictures: Sequence[bytes | Refusal],
        *,
        enrolment: bool | Sequence[bool] = False,
        versions: Sequence[Sequence[str]] | None = None,
    ) -> list[Analysis]:
        """Analyse a micro-batch; return one analysis a picture, in order. A bad picture never harms the others.

        A picture that is a Refusal already is passed through. ``enrolment`` (one for all, or one each) sets the
        stricter limits of templates. ``versions`` (of each picture, at least one) are those that make vectors: the
        first one ``Face.vector``, the rest ``Face.others``. Safe to call from several threads.
        """

    def close(self) -> None:
        """Release threads and memory."""
