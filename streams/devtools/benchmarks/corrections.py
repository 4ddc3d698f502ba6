"""Measures the gain of learning from faces that were taken for somebody else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from models.training import correcting
from models.training.plan import TrainingPlan
from streams.devtools.benchmarks.retrain import read, rounded
from streams.devtools.benchmarks.rows import NOT_MEASURED, Figures
from streams.settings import Settings


def measure(
    folders: Sequence[Path], plan: TrainingPlan, settings: Settings, say: Callable[[str], None]
) -> Iterator[Figures]:
    """Cut faces out of ``DIR/<person>/<picture>``, train with and without corrections, and measure.

    Raises:
        UnusableTrainingSet: too few people or faces, or nothing to correct.
        UnusableEvaluation: a folder holds no pictures.
    """
    known, skipped = read(folders, settings, say)
    yield {"faces": len(known), "faces_not_found": skipped, "seed": plan.seed}
    for gained in correcting.measure(known, plan=plan, old_folder=settings.chosen_model_dir, say=say):
        degraded: dict[str, Any] = {"before": gained.before, **gained.tars}
        found: dict[str, Any] = {
            "corrections": gained.corrections,
            "pairs_of_people": gained.pairs,
            "degraded": {name: round(tar, 4) for name, tar in degraded.items()},
        }
        if gained.confused is not None and gained.degraded is not None:
            found["degraded"]["interval"] = [round(limit, 4) for limit in gained.degraded.gain_interval]
            found["confused"] = rounded(gained.confused)
        if gained.failed:
            found[NOT_MEASURED] = {f"training {name}": why for name, why in gained.failed.items()}
        yield found
