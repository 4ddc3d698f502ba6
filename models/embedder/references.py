"""The reference models: the folders of the cards that come with facestream."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path


class Reference(StrEnum):
    """A reference model, as a user names it."""

    ACCURATE = "accurate"
    FAST = "fast"

    @property
    def folder(self) -> Path:
        """The folder of its card."""
        return Path(__file__).parents[1] / "reference" / self.value


ACCURATE = Reference.ACCURATE.folder
"""SFace: recognises people in poor pictures, too."""

FAST = Reference.FAST.folder
"""dlib's network: takes less time. The only reference model of earlier versions of facestream."""
