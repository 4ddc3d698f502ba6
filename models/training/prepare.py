"""Prepares the folder of a run from a training set: the faces to train on, and their target vectors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from models.embedder.card import UnusableModel
from models.embedder.model import Model
from models.pictures.geometry import Pixels
from models.training import bases, network
from models.training.degrade import TRAINING, degrade
from models.training.plan import Material, Run, TrainingPlan
from models.training.samples import TrainingSet, folds

_HELD_OUT = 6
"""One person in this many is held out for early stopping."""

_LEAST_HELD_OUT = 3
_VIEWS = 2


def prepare(
    folder: Path,
    plan: TrainingPlan,
    old: Model,
    old_network: Any,
    known: TrainingSet,
    say: Callable[[str], None] = lambda text: None,
) -> Run:
    """Write the folder of a run that starts from an old version.

    Args:
        folder: the folder to write.
        plan: the settings.
        old: the old version.
        old_network: its Keras network: the reference, or one trained from it.
        known: the training set. If there are enough people, some of them are held out for early stopping.
        say: called with a sentence about what is done.

    Raises:
        UnusableModel: the old version has another kind of network.
    """
    keras.utils.set_random_seed(plan.seed)
    learn, held_out = _sides(known, plan.seed)
    say(f"{len(learn.people)} people to train on, {len(held_out.people) if held_out else 0} for early stopping")
    made = bases.make(learn, plan.bases, plan.seed)
    try:
        grown, vectors = network.grow(old_network, old.embed(made.chips), made.first == made.second)
    except UnusableModel as error:
        raise UnusableModel(f"{old.card.version}: {error}") from error
    faces, people = _held_out(held_out, learn, plan.seed)
    material = Material(made.chips, vectors, made.first, made.second, made.never, made.chances, faces, people)
    run = Run(folder).write(plan, material)
    # The network gets its name only when it is complete, because it marks the run as prepared.
    beside = run.network.with_suffix(".new.keras")
    grown.save(beside)
    beside.replace(run.network)
    return run


def _sides(known: TrainingSet, seed: int) -> tuple[TrainingSet, TrainingSet | None]:
    parts = len(known.people) // max(_LEAST_HELD_OUT, len(known.people) // _HELD_OUT)
    if parts < 3:
        return known, None
    held_out = set(folds(known.people, parts, seed)[0])
    return known.of_people(set(known.people) - held_out), known.of_people(held_out)


def _held_out(held_out: TrainingSet | None, learn: TrainingSet, seed: int) -> tuple[Pixels, NDArray[np.int32]]:
    if held_out is None:
        return learn.chips[:0], learn.labels[:0]
    random = np.random.default_rng([seed, 6])
    poor = [degrade(chip, TRAINING, random) for _ in range(_VIEWS) for chip in held_out.chips]
    return np.concatenate([held_out.chips, np.stack(poor)]), held_out.labels
