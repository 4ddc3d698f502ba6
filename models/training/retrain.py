"""A training set in, a model version out: its weights, and a card that says what it was made of and what it gained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from models.card import Card, Lineage
from models.model import Model, keras_network
from models.training import head, publish
from models.training.launch import launch
from models.training.loop import Progress
from models.training.measure import Comparisons, degraded
from models.training.plan import Plan
from models.training.prepare import prepare
from models.training.samples import TrainingSet, UnusableTrainingSet, split

HELD_OUT = 0.2
"""Share of the people that a version is measured on, and not learned from."""

_LEAST = 2
_SIDES_SEED = 0
"""The sides are the same in every run: who was measured on once is never learned from."""

HEAD_FILE = "head.keras"
"""Beside the weights of a version with a head: projects stored vectors, see :func:`models.training.head.project`."""


def retrain(
    folder: Path,
    version: str,
    known: TrainingSet,
    *,
    mode: Literal["head", "full"],
    old_folder: Path | None = None,
    plan: Plan | None = None,
    workers: int = 1,
    threads: int = 0,
    say: Callable[[Progress], None] = lambda progress: None,
) -> Card:
    """Train a version from an old one and write it to ``folder / version``; it is not promoted (see the gate).

    Args:
        folder: where to; ``folder / "run"`` keeps the checkpoints of a full training.
        version: the new name.
        known: everybody; some are held out by the hash of the name.
        mode: ``full`` learns from chips, ``head`` from the old version's vectors of them.
        old_folder: the version to start from; None: the reference.
        plan: of a full training; its seed counts for both.
        workers: processes of a full training.
        threads: of each; 0: all cores.
        say: called with the progress of a full training.

    Raises:
        UnusableTrainingSet: too few people to learn from, or to hold out.
        UnusableModel: the old version cannot be trained this way.
        TrainingFailed: the workers were lost too often.
    """
    plan = plan or Plan()
    learn_from, measured_on = split(known.people, HELD_OUT, _SIDES_SEED)
    if min(len(learn_from), len(measured_on)) < _LEAST:
        raise UnusableTrainingSet(
            f"of {len(known.people)} people {len(learn_from)} would be learned from and {len(measured_on)} measured on:"
            f" {_LEAST} of each are the least"
        )
    learn, test = known.of_people(learn_from), known.of_people(measured_on)
    old, network = Model.load(old_folder), keras_network(old_folder)
    place = folder / version
    if mode == "full":
        run = prepare(folder / "run", plan, old, network, learn)
        launch(run, workers=workers, old_folder=old_folder, threads=threads, say=say)
        made: Any = publish.learned_network(run)
        settings = plan.model_dump(exclude={"seed"}) | {"workers": workers}
    else:
        head_plan = head.HeadPlan(seed=plan.seed)
        learned = head.train(old.embed(learn.chips), learn.labels, old.card.distance(1e-2), head_plan)
        made = head.behind(network, learned)
        place.mkdir(parents=True, exist_ok=True)
        learned.save(place / HEAD_FILE)
        settings = {"steps": head_plan.steps, "learning_rate": head_plan.learning_rate}
    publish.write(place, made, publish.unmeasured(version, old.card))
    new = Model.load(place)
    before, after = _comparisons(old, test, plan.seed), _comparisons(new, test, plan.seed)
    lineage = Lineage(
        parent=old.card.version,
        mode=mode,
        people=len(learn.people),
        chips=len(learn),
        people_tested=len(test.people),
        digest=known.digest,
        seed=plan.seed,
        settings=settings,
        measured={kind: publish.measured(before[kind], after[kind], plan.seed) for kind in before},
        latency_ratio=publish.latency_ratio(old, new, test.chips),
    )
    strangers = {kind: found.strangers() for kind, found in after.items()}
    card = publish.described(version, old.card, lineage, strangers, keeps_clean=mode == "full")
    return publish.write(place, made, card)


def _comparisons(model: Model, test: TrainingSet, seed: int) -> dict[str, Comparisons]:
    clean = model.embed(test.chips)
    poor = model.embed(degraded(test.chips, seed))
    return {
        "degraded": Comparisons.of(poor, clean, test.labels),
        "clean": Comparisons.of(clean, clean, test.labels),
    }
