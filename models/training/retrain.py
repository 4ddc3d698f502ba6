"""Trains a model version on a training set: weights, and a card with its lineage and its gain."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from models.embedder.card import Card, Lineage, Source, Validated
from models.embedder.model import Model, keras_network
from models.training import gate, head, history, publish
from models.training.cluster import Cluster
from models.training.compare import Compared
from models.training.gaps import gaps
from models.training.history import TrainingProgress
from models.training.launch import launch
from models.training.plan import Run, TrainingPlan
from models.training.prepare import prepare
from models.training.samples import HELD_OUT, NOBODY, SIDES_SEED, TrainingSet, UnusableTrainingSet, enough, split
from models.training.scoring import scored

_MOST_MEASURED = 1_000
"""Most faces that a version is measured on: a million pairs, each scored hundreds of times for the intervals."""

_LEAST = 2

HEAD_FILE = "head.keras"
"""The head of a version with one, beside its weights; see :func:`models.training.head.project`."""


def retrain(
    folder: Path,
    version: str,
    known: TrainingSet,
    *,
    mode: Literal["head", "full"],
    old_folder: Path,
    plan: TrainingPlan | None = None,
    workers: int = 1,
    cluster: Cluster | None = None,
    threads: int = 0,
    source: Source | None = None,
    say: Callable[[TrainingProgress], None] = lambda progress: None,
) -> Card:
    """Train a version from an old one and write it to ``folder / version``; it is not promoted (see the gate).

    Args:
        folder: the folder of the versions. Until the version is complete, its files are in a hidden folder there. A
            full training that was interrupted resumes from its checkpoint if it is called with the same arguments.
        version: the name of the new version.
        known: all people; a hash of the name decides who is held out.
        mode: ``full`` trains on chips, ``head`` on the old version's vectors of them.
        old_folder: the version to start from.
        plan: the plan of a full training; its seed is used in both modes.
        workers: number of processes of a full training.
        cluster: for a full training on several machines, with this as its first process.
        threads: of each worker; 0: all cores.
        source: where the faces were read, for the card.
        say: called with the progress of a full training.

    Raises:
        UnusableTrainingSet: too few people to train on, or to hold out.
        UnusableModel: the old version cannot be trained this way.
        TrainingFailed: the workers were lost too often.
    """
    plan = plan or TrainingPlan()
    learn_from, measured_on = split(known.people, HELD_OUT, SIDES_SEED)
    if min(len(learn_from), len(measured_on)) < _LEAST:
        raise UnusableTrainingSet(
            f"of {len(known.people)} people, {len(learn_from)} would be trained on and {len(measured_on)} measured on: "
            f"at least {_LEAST} of each are needed"
        )
    learn, test = known.of_people(learn_from), known.of_people(measured_on).at_most(_MOST_MEASURED)
    for side in (learn, test):
        enough(side, _LEAST, _LEAST)
    old, network = Model.load(old_folder), keras_network(old_folder)
    learn = _apart(learn, test, old)
    work = folder / f".{version}-{_made_of(old.card, known, plan)}"
    place = work / "version"
    if mode == "full":
        run = Run(work / "run")
        if not run.is_prepared:
            prepare(run.folder, plan, old, network, learn)
        with cluster.announced(folder, run, old_folder) if cluster else nullcontext():
            launch(run, old_folder, workers=workers, cluster=cluster, threads=threads, say=say)
        made: Any = publish.learned_network(run)
        validated = tuple(
            Validated(step=now.step, loss=now.loss, validation=now.validation, tar=now.tar) for now in history.read(run)
        )
        shutil.copytree(run.board, place / run.board.name, dirs_exist_ok=True)
        settings = plan.model_dump(exclude={"seed"}) | {"workers": len(cluster.addresses) if cluster else workers}
    else:
        head_plan = head.HeadPlan(seed=plan.seed)
        learned = head.of_people(old, network, learn, head_plan)
        made = head.behind(network, learned, old.card.output.metric)
        place.mkdir(parents=True, exist_ok=True)
        learned.save(place / HEAD_FILE)
        settings = {"shrinkage": head_plan.shrinkage, "steps": head_plan.steps if len(learn.corrected) else 0}
        validated = ()
    publish.write(place, made, publish.unmeasured(version, old.card))
    new = Model.load(place, half=True)
    compared = Compared.of(old, new, test, plan.seed)
    by_kind = {"degraded": compared.degraded, gate.CLEAN: compared.clean}
    lineage = Lineage(
        parent=old.card.version,
        mode=mode,
        people=len(learn.people),
        chips=len(learn),
        people_tested=len(test.people),
        chips_tested=len(test),
        corrections=len(learn.corrected),
        source=source or Source(),
        digest=known.digest,
        seed=plan.seed,
        settings=settings,
        history=validated,
        measured={kind: publish.measured(*pair, plan.seed) for kind, pair in by_kind.items()},
        groups=gaps(compared, plan.seed),
        latency_ratio=publish.latency_ratio(old, new, test.chips),
    )
    strangers = {kind: (before.strangers(), after.strangers()) for kind, (before, after) in by_kind.items()}
    scores = {kind: scored(after, plan.seed) for kind, (_, after) in by_kind.items()}
    card = publish.write(place, made, publish.described(version, old.card, lineage, strangers, scores))
    shutil.rmtree(folder / version, ignore_errors=True)
    place.rename(folder / version)
    shutil.rmtree(work)
    return card


def _apart(learn: TrainingSet, test: TrainingSet, old: Model) -> TrainingSet:
    """The training set without corrected faces that may show people of the test set."""
    hard = learn.corrected
    if not len(hard):
        return learn
    gaps = np.linalg.norm(old.embed(hard.chips)[:, None] - old.embed(test.chips)[None], axis=2)
    may_be_theirs = (hard.labels == NOBODY) & (gaps.min(1) < old.card.threshold())
    return replace(learn, corrected=hard.only(~may_be_theirs))


def _made_of(parent: Card, known: TrainingSet, plan: TrainingPlan) -> str:
    """A digest of the inputs; an interrupted training is resumed only with the same inputs."""
    return hashlib.sha256("\0".join((parent.version, known.digest, plan.model_dump_json())).encode()).hexdigest()[:16]
