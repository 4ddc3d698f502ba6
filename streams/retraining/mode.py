"""What a training changes."""

from enum import StrEnum


class Mode(StrEnum):
    """What is trained."""

    HEAD = "head"
    FULL = "full"
