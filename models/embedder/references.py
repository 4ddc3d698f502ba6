"""The reference models: the folders of the cards that come with facestream."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

_CARDS = Path(__file__).parents[1] / "reference"

ACCURATE = _CARDS / "accurate"
"""SFace: recognises people in poor pictures, too."""

FAST = _CARDS / "fast"
"""dlib's network: takes less time. The only reference model of earlier versions of facestream."""


class Reference(StrEnum):
    """A reference model, as a user names it."""

    ACCURATE = "accurate"
    FAST = "fast"

    @property
    def folder(self) -> Path:
        """The folder of its card."""
        return {Reference.ACCURATE: ACCURATE, Reference.FAST: FAST}[self]
