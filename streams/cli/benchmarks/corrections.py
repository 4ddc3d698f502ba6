"""What it gains to learn from faces that were taken for somebody else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from models.training import correcting
from models.training.plan import Plan
from streams.cli.benchmarks.retrain import read, rounded
from streams.settings import Settings


def measure(folders: Sequence[Path], plan: Plan, settings: Settings, say: Callable[[str], None]) -> dict[str, Any]:
    """Cut faces out of ``DIR/<person>/<picture>``, train with and without corrections, and measure.

    Raises:
        UnusableTrainingSet: too few people or faces, or nothing to correct.
        UnusableEvaluation: a folder holds no pictures.
    """
    known, skipped = read(folders, settings, say)
    gained = correcting.measure(known, plan=plan, old_folder=settings.model_dir, say=say)
    change = gained.degraded
    degraded = {
        "before": round(gained.before, 4),
        "without": round(change.before, 4),
        "corrected": round(change.after, 4),
        "interval": [round(limit, 4) for limit in change.gain_interval],
    }
    return {
        "corrections": gained.corrections,
        "pairs_of_people": gained.pairs,
        "confused": rounded(gained.confused),
        "degraded": degraded,
        "faces": len(known),
        "faces_not_found": skipped,
        "seed": plan.seed,
    }
