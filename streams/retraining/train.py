"""One training, scheduled or asked for by a person: faces in, a version and the gate's verdict out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from models.embedder import runtime
from models.training.plan import TrainingPlan
from streams.retraining.mode import Mode

if TYPE_CHECKING:
    from models.embedder.card import Card, Source
    from models.training.cluster import Cluster
    from models.training.history import TrainingProgress
    from models.training.samples import Correction, Sample


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """How to train.

    Attributes:
        mode: full: the network's first layers. head: a small network behind its vectors.
        parent: folder of the version to start from.
        workers: processes that train together, with the mode full.
        plan: for the mode full; its seed is used by both modes.
        threads: threads of each process; None: all cores.
        groups: file with the groups of people and pictures, see :mod:`models.evaluation.groups`.
        cluster: instead of ``workers``: processes that were started elsewhere, of which this is the first.
    """

    mode: Mode
    parent: Path
    workers: int = 1
    plan: TrainingPlan = field(default_factory=TrainingPlan)
    threads: int | None = None
    groups: Path | None = None
    cluster: Cluster | None = None


@dataclass(frozen=True, slots=True)
class Trained:
    """A version, and why it may not take over; it may if there is no refusal."""

    card: Card
    folder: Path
    refusals: list[str]


@dataclass(frozen=True, slots=True)
class TrainStarted:
    """The version and its training set, known before the first step."""

    version: str
    faces: int
    people: int


def train(
    folder: Path,
    samples: Sequence[Sample],
    source: Source,
    request: TrainRequest,
    *,
    corrections: Sequence[Correction] = (),
    begin: Callable[[TrainStarted], None] = lambda started: None,
    say: Callable[[TrainingProgress], None] = lambda progress: None,
) -> Trained:
    """Train a version and write it to ``folder / version``; an interrupted training there is continued.

    Args:
        folder: where the version goes.
        samples: faces to learn from and to measure on.
        source: where they were read, for the card.
        request: how to train.
        corrections: faces that were taken for somebody else.
        begin: called once, before the training.
        say: called with the progress of a training with the mode full.

    Raises:
        UnusableLabels: the file of groups cannot be understood.
        UnusableModel, UnusableTrainingSet, TrainingFailed: see :func:`models.training.retrain.retrain`.
    """
    runtime.tensorflow(request.threads)

    from models.embedder.model import Model
    from models.evaluation.groups import Labelling
    from models.training import gate
    from models.training.retrain import retrain
    from models.training.samples import TrainingSet

    if request.groups is not None:
        labelling = Labelling.read(request.groups)
        samples = [sample.labelled(labelling) for sample in samples]
    parent = Model.load(request.parent, threads=request.threads).card
    known = TrainingSet.of(samples, parent.chip.size, corrections)
    version = name(parent.version, request.mode, known.digest, request.plan)
    begin(TrainStarted(version, len(known), len(known.people)))
    card = retrain(
        folder,
        version,
        known,
        mode="head" if request.mode is Mode.HEAD else "full",
        old_folder=request.parent,
        plan=request.plan,
        workers=request.workers,
        cluster=request.cluster,
        source=source,
        say=say,
    )
    assert card.lineage is not None
    return Trained(card, folder / version, gate.refusals(card.lineage))


def name(parent: str, mode: Mode, digest: str, plan: TrainingPlan) -> str:
    """The name of a version; the same for the same parent, faces and settings."""
    made_of = json.dumps([parent, mode, digest, plan.model_dump(mode="json")], sort_keys=True)
    return f"{mode}-{hashlib.sha256(made_of.encode()).hexdigest()[:10]}"
