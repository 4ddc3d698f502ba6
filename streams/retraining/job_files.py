"""What a worker orders from the process that trains, and what that process tells; each is a JSON file of its folder."""

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
        """Read it; None if it is not there."""
        try:
            return cls.model_validate_json((folder / cls._file()).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def write(self, folder: Path) -> None:
        """Write it, whole or not at all."""
        path = folder / self._file()
        partial = path.with_suffix(".partial")
        partial.write_text(self.model_dump_json(indent=1) + "\n", "utf-8")
        partial.replace(path)

    @classmethod
    def remove(cls, folder: Path) -> None:
        """Remove it, if it is there."""
        (folder / cls._file()).unlink(missing_ok=True)

    @classmethod
    def _file(cls) -> str:
        return f"{cls.__name__.lower()}.json"


class JobSpec(_JobFile):
    """What to train; ``until`` is where the training set ends, by topic and partition."""

    run_id: str
    until: dict[Topic, dict[int, int]]
    mode: Mode
    workers: int
    steps: int
    patience_s: float
    """The process ends itself if it hears nothing of the worker for so long."""


class JobStatus(_JobFile):
    """How far the training is."""

    step: int = 0
    steps: int = 0
    faces: int = 0
    people: int = 0


class JobResult(_JobFile):
    """What was made; the version is a folder beside this file. ``error`` says why nothing was."""

    version: str | None = None
    refusals: list[str] = []
    error: str | None = None
