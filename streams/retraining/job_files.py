"""The JSON files through which a worker and its training process speak: specification, status and result."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from streams.kafka.topics import Topic
from streams.retraining.mode import Mode


class _JobFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Read the file; None if it is not there or cannot be read."""
        try:
            return cls.model_validate_json((folder / cls._file()).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def write(self, folder: Path) -> None:
        """Write the file, whole or not at all."""
        path = folder / self._file()
        partial = path.with_suffix(".partial")
        partial.write_text(self.model_dump_json(indent=1) + "\n", "utf-8")
        partial.replace(path)

    @classmethod
    def remove(cls, folder: Path) -> None:
        """Remove the file, if it is there."""
        (folder / cls._file()).unlink(missing_ok=True)

    @classmethod
    def _file(cls) -> str:
        return f"{cls.__name__.lower()}.json"


class JobSpec(_JobFile):
    """What to train; ``until`` is the end of the training set, by topic and partition."""

    run_id: str
    until: dict[Topic, dict[int, int]]
    mode: Mode
    workers: int
    steps: int
    patience_s: float
    """The process ends itself if it hears nothing from the worker for this long."""


class JobStatus(_JobFile):
    """How far the training is."""

    step: int = 0
    steps: int = 0
    faces: int = 0
    people: int = 0


class JobResult(_JobFile):
    """What came of it; the version is a folder beside this file, ``error`` says why there is none."""

    version: str | None = None
    refusals: list[str] = []
    error: str | None = None
