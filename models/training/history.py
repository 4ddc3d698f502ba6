"""The progress of a run, as lines of JSON that can be read while it lasts, and as a log for TensorBoard."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from models.embedder import runtime
from models.training.plan import Run


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """The progress of a run at one validation."""

    step: int
    steps: int
    loss: float
    """Mean training loss since the last report."""
    validation: float | None
    """Pairwise loss of held-out people, with the averaged weights; None if nobody is held out."""
    tar: float | None
    """TAR at FAR 1e-2 of held-out people, degraded faces against clean ones; None likewise."""
    samples_per_s: float


class History:
    """Writes the history. Only worker 0 does so."""

    def __init__(self, run: Run) -> None:
        self._tf = runtime.tensorflow()
        self._lines: Path = run.progress
        self._board = self._tf.summary.create_file_writer(str(run.board))
        # The same metadata as ``tf.summary.scalar``, which needs TensorBoard to be installed.
        self._scalar = self._tf.compat.v1.SummaryMetadata(data_class="DATA_CLASS_SCALAR")
        self._scalar.plugin_data.plugin_name = "scalars"

    def add(self, now: TrainingProgress) -> None:
        """Append to both logs."""
        with self._lines.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(asdict(now)) + "\n")
        with self._board.as_default(step=now.step):
            for name in ("loss", "validation", "tar", "samples_per_s"):
                if (value := getattr(now, name)) is not None:
                    self._tf.summary.write(name, value, metadata=self._scalar)
        self._board.flush()


def read(run: Run) -> list[TrainingProgress]:
    """The progress of a run so far. A step that was repeated after the loss of a worker is included once."""
    if not run.progress.exists():
        return []
    lines = [TrainingProgress(**json.loads(line)) for line in run.progress.read_text("utf-8").splitlines()]
    return list({now.step: now for now in lines}.values())
