"""Measures samples a second of distributed training, with one and with two workers."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from infra.photos import sample_photos
from models.analysis import chips
from models.analysis.analyzer import Analyzer
from models.embedder.model import Model, keras_network
from models.embedder.references import FAST
from models.training.degrade import shifted
from models.training.launch import Launched, launch
from models.training.plan import Run, TrainingPlan
from models.training.prepare import prepare
from models.training.samples import Sample, TrainingSet
from streams.devtools.benchmarks.rows import Figures, attempt

_FACES = 64
_PEOPLE = 8


def measure(folder: Path, steps: int, batch: int, rounds: int, say: Callable[[str], None]) -> Iterator[Figures]:
    """Train on the sample photographs with one worker of one thread and with two, in turns.

    Yields:
        After each training ``samples_per_s`` by the number of workers (the median of the rounds until then),
        ``scaling_efficiency`` (two workers by twice one), ``weights_identical`` (whether two workers ended with the
        same weights, to the last bit).
    """
    model = Model.load(FAST)
    plan = TrainingPlan(steps=steps, batch=batch, bases=_FACES, validate_every=steps, checkpoint_every=steps)
    found: dict[int, list[Launched]] = {1: [], 2: []}
    yield {"batch_per_worker": batch, "steps": steps}
    for turn in range(rounds):
        for workers, ended in found.items():

            def train(turn: int = turn, workers: int = workers, ended: list[Launched] = ended) -> Figures:
                run = prepare(folder / f"{turn}-{workers}", plan, model, keras_network(FAST), _faces(model))
                ended.append(_timed(run, workers))
                return _figures(found)

            yield attempt(f"round {turn + 1} with {workers} workers", train)


def _figures(found: Mapping[int, Sequence[Launched]]) -> Figures:
    speeds = {
        workers: statistics.median(one.samples_per_s for one in ended) for workers, ended in found.items() if ended
    }
    figures: dict[str, Any] = {
        "rounds": {str(workers): [round(one.samples_per_s, 1) for one in ended] for workers, ended in found.items()},
        "samples_per_s": {str(workers): round(speed, 1) for workers, speed in speeds.items()},
    }
    if len(speeds) == len(found):
        figures["scaling_efficiency"] = round(speeds[2] / (2 * speeds[1]), 3)
    if found[2]:
        figures["weights_identical"] = all(one.identical for one in found[2])
    return figures


def _timed(run: Run, workers: int) -> Launched:
    return launch(run, FAST, workers=workers, threads=1, restarts=0)


def _faces(model: Model) -> TrainingSet:
    """Variants of two portraits under several names: enough to run a training, not to learn from."""
    analyzer = Analyzer(model, threads=1)
    photos = sample_photos()
    analyses = analyzer.analyze([(photos / name).read_bytes() for name in ("obama.jpg", "biden.jpg")])
    analyzer.close()
    faces = [chip for analysis in analyses for chip in analysis.chips[:1] if chip is not None]
    random = np.random.default_rng(0)
    return TrainingSet.of(
        [
            Sample(f"{at:03d}", "bench", str(at % _PEOPLE), chips.encode(shifted(faces[at % len(faces)], 0.05, random)))
            for at in range(_FACES)
        ],
        model.card.chip.size,
    )
