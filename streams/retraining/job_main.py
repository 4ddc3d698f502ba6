"""The training process: ``python -m streams.retraining.job_main FOLDER``, with a ``JobSpec`` in the folder.

It lives as long as the worker that started it sends keepalives to its standard input. If that worker is dead, or
suspended so that another has taken the run over, the process ends itself and everything that it has started.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from pathlib import Path

from models.embedder.card import Card
from models.training.plan import TrainingPlan
from streams.model_registry.records import folder_of, read_registry
from streams.retraining.job_files import JobResult, JobSpec, JobStatus
from streams.retraining.train import TrainRequest, TrainStarted, train
from streams.settings import Settings, settings
from streams.training_data.training_set import read_training_set

_AT_ONCE = 4096


def listen(patience_s: float) -> None:
    """Start a thread that kills the process group when the keepalives on standard input end."""

    def wait() -> None:
        while select.select([0], [], [], patience_s)[0] and os.read(0, _AT_ONCE):
            pass
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, name="keepalives", daemon=True).start()


def run_job(folder: Path, spec: JobSpec, now: Settings) -> JobResult:
    """Train as specified; the version is a folder in ``folder``.

    Raises:
        UnusableModel, UnusableTrainingSet, TrainingFailed, KafkaUnavailable: there is no version.
    """
    request = TrainRequest(
        spec.mode,
        production(now),
        spec.workers,
        TrainingPlan(steps=spec.steps),
        threads=now.cpu_threads,
        groups=now.retrain_groups,
    )
    geometry = Card.read(request.parent).chip
    read = read_training_set(now, geometry, spec.until)
    status = JobStatus()

    def begin(started: TrainStarted) -> None:
        nonlocal status
        status = JobStatus(faces=started.faces, people=started.people, steps=spec.steps)
        status.write(folder)

    trained = train(
        folder,
        read.samples,
        read.source,
        request,
        corrections=read.corrections,
        begin=begin,
        say=lambda now: status.model_copy(update={"step": now.step}).write(folder),
    )
    return JobResult(version=trained.card.version, refusals=trained.refusals)


def production(now: Settings) -> Path:
    """The folder of the version in production, from which a training starts.

    Raises:
        KafkaUnavailable: no broker answers.
        UnusableModel: FACESTREAM_MODEL_DIR has no card.
    """
    return folder_of(read_registry(now).production, now)


def main() -> int:
    """Read the specification, run the job, write the result."""
    folder = Path(sys.argv[1])
    spec = JobSpec.read(folder)
    if spec is None:
        sys.stderr.write(f"there is no job specification in {folder}\n")
        return 2
    done = JobResult.read(folder)
    if done is not None and done.version is not None and (folder / done.version).is_dir():
        return 0  # a predecessor has finished it
    listen(spec.patience_s)
    try:
        result = run_job(folder, spec, settings())
    except Exception as error:
        JobResult(error=" ".join(f"{type(error).__name__}: {error}".split())).write(folder)
        raise
    result.write(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
