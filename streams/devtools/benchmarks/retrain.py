"""Measures the gain of learning from poor pictures, on people it has not seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from models.analysis.analyzer import Analyzer
from models.embedder.card import Card
from models.embedder.model import Model
from models.training.correcting import Confused
from models.training.crossval import Outcome, cross_validate
from models.training.measure import Change
from models.training.plan import TrainingPlan
from models.training.samples import TrainingSet, enough, from_folders
from streams.devtools.benchmarks.rows import NOT_MEASURED, Figures
from streams.settings import Settings

LEAST_PEOPLE, LEAST_CHIPS = 8, 24


def measure(
    folders: Sequence[Path],
    plan: TrainingPlan,
    parts: int,
    settings: Settings,
    say: Callable[[str], None],
    *,
    mode: Literal["head", "full"] = "full",
) -> Iterator[Figures]:
    """Cut faces out of ``DIR/<person>/<picture>``, and train and measure by turns; see :mod:`models.training.measure`.

    Yields:
        After each fold, of all until then, ``degraded`` and ``clean`` with TAR at FAR 1e-2 ``before`` and ``after``,
        the 95 % ``interval`` of ``after``, the ``gain`` with its ``gain_interval``, and its :func:`verdict`.

    Raises:
        UnusableTrainingSet: too few people or faces.
        UnusableEvaluation: a folder holds no pictures.
    """
    known, skipped = read(folders, settings, say)
    folder = settings.chosen_model_dir
    about = {"model": Card.read(folder).version, "mode": str(mode)}
    for outcome in cross_validate(known, parts=parts, plan=plan, old_folder=folder, mode=mode, say=say):
        yield _result(outcome, known, skipped, plan) | about


def read(folders: Sequence[Path], settings: Settings, say: Callable[[str], None]) -> tuple[TrainingSet, int]:
    """Cut faces out of ``DIR/<person>/<picture>``; says of how many pictures none came.

    Raises:
        UnusableTrainingSet: too few people or faces.
        UnusableEvaluation: a folder holds no pictures.
    """
    model = Model.load(settings.chosen_model_dir, threads=settings.cpu_threads)
    analyzer = Analyzer(model, threads=settings.cpu_threads)
    samples, skipped = from_folders(analyzer, folders)
    analyzer.close()
    for picture, reason in skipped.items():
        say(f"{picture}: {reason}")
    known = TrainingSet.of(samples, model.card.chip.size)
    enough(known, LEAST_PEOPLE, LEAST_CHIPS)
    say(f"{len(known)} faces of {len(known.people)} people")
    return known, len(skipped)


def _result(outcome: Outcome, known: TrainingSet, skipped: int, plan: TrainingPlan) -> dict[str, Any]:
    result = {
        "subjects_train": outcome.subjects_train,
        "subjects_test": outcome.subjects_test,
        "degraded": _judged(outcome.degraded),
        "clean": _judged(outcome.clean),
        "new_probes_old_templates": _judged(outcome.compatible),
        "latency_ratio": round(outcome.latency_ratio, 3),
        "faces": len(known),
        "faces_not_found": skipped,
        "digest": known.digest,
        "seed": plan.seed,
        "folds": [asdict(fold) for fold in outcome.folds],
    }
    if outcome.failed:
        result[NOT_MEASURED] = {f"fold {number}": why for number, why in outcome.failed.items()}
    return result


def verdict(change: Change) -> Literal["up", "down", "within_interval"]:
    """Whether a change is beyond chance: its 95 % interval over people has 0 outside."""
    low, high = change.gain_interval
    return "up" if low > 0 else "down" if high < 0 else "within_interval"


def _judged(change: Change) -> dict[str, Any]:
    return rounded(change) | {"verdict": verdict(change)}


def rounded(measured: Change | Confused) -> dict[str, Any]:
    """The result as JSON."""
    return {
        name: [round(part, 4) for part in value] if isinstance(value, tuple) else round(value, 4)
        for name, value in asdict(measured).items()
    }
