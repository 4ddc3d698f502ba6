"""What a training changes. It stands by itself, so that the command line shows its help without the rest."""

from enum import StrEnum


class Mode(StrEnum):
    """What is trained."""

    HEAD = "head"
    FULL = "full"
