"""Cross-validation over people: trains on some and measures on others, until everybody was measured once."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import keras  # type: ignore[import-untyped]
import numpy as np

from models.embedder import runtime
from models.embedder.model import Model, keras_network
from models.evaluation.comparisons import Comparisons
from models.training import head, loop, publish
from models.training.compare import Compared
from models.training.history import TrainingProgress
from models.training.measure import Change
from models.training.plan import TrainingPlan
from models.training.prepare import prepare
from models.training.samples import TrainingSet, folds


@dataclass(frozen=True, slots=True)
class Fold:
    """TAR at FAR 1e-2 of one fold, before and after. A fold has few people; the result is all folds together."""

    people: int
    degraded: tuple[float, float]
    clean: tuple[float, float]
    steps: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """All folds together: each pair is within a fold, and one threshold is used for all of them.

    ``compatible`` compares degraded probes of the new version with templates of the old one, as happens before a
    gallery is embedded again.
    """

    subjects_train: int
    subjects_test: int
    degraded: Change
    clean: Change
    compatible: Change
    latency_ratio: float
    folds: list[Fold]
    failed: dict[int, str] = field(default_factory=dict)
    """Folds that could not be measured, by number, with the reason."""


def cross_validate(
    known: TrainingSet,
    *,
    parts: int,
    plan: TrainingPlan,
    old_folder: Path,
    mode: Literal["head", "full"] = "full",
    say: Callable[[str], None] = lambda text: None,
) -> Iterator[Outcome]:
    """Train ``parts`` times, each time without one fold of the people, and measure on that fold.

    Args:
        known: all people.
        parts: number of folds.
        plan: the plan of each full training; its seed is used by both modes, and deals the people and degrades the
            pictures.
        old_folder: the version to start from.
        mode: see :func:`models.training.retrain.retrain`.
        say: called with a sentence about each step.

    Yields:
        After each fold, the result of all folds so far.

    Raises:
        UnusableTrainingSet: there are too few people for this number of folds.
        Exception: no fold could be measured; the error of the last one.
    """
    old = Model.load(old_folder)
    gathered: dict[str, list[tuple[Comparisons, Comparisons]]] = {"degraded": [], "clean": [], "compatible": []}
    seen: list[Fold] = []
    ratios: list[float] = []
    failed: dict[int, str] = {}
    dealt = folds(known.people, parts, plan.seed)

    def measure(number: int, part: Sequence[str]) -> None:
        began = time.monotonic()
        learn, test = known.of_people(set(known.people) - set(part)), known.of_people(part)
        say(f"fold {number} of {parts}: {len(learn.people)} people to train on, {len(test.people)} others to test on")
        with tempfile.TemporaryDirectory(prefix="facestream-fold-") as scratch:
            if mode == "head":
                new, steps = with_head(Path(scratch), plan, old, old_folder, learn)
            else:
                new, steps = trained(Path(scratch), plan, old, old_folder, learn, say)
            compared = Compared.of(old, new, test, plan.seed)
            ratio = publish.latency_ratio(old, new, test.chips)
        clean, poor = compared.clean, compared.degraded
        found = Fold(
            len(test.people),
            (poor[0].tar(), poor[1].tar()),
            (clean[0].tar(), clean[1].tar()),
            steps,
            time.monotonic() - began,
        )
        seen.append(found)
        ratios.append(ratio)
        gathered["clean"].append(clean)
        gathered["degraded"].append(poor)
        gathered["compatible"].append(compared.compatible)
        say(
            f"fold {number}: degraded {found.degraded[0]:.3f} to {found.degraded[1]:.3f}, clean {found.clean[0]:.3f} "
            f"to {found.clean[1]:.3f} in {found.seconds:.0f} s"
        )

    def together() -> Outcome:
        changes = {
            kind: Change.of(
                Comparisons.joined([before for before, _ in pairs]),
                Comparisons.joined([after for _, after in pairs]),
                seed=plan.seed,
            )
            for kind, pairs in gathered.items()
        }
        return Outcome(
            subjects_train=min(len(known.people) - len(part) for part in dealt),
            subjects_test=sum(fold.people for fold in seen),
            latency_ratio=float(np.median(ratios)),
            folds=list(seen),
            failed=dict(failed),
            **changes,
        )

    for number, part in enumerate(dealt, 1):
        try:
            measure(number, part)
        except Exception as error:
            failed[number] = f"{type(error).__name__}: {error}"
            say(f"fold {number} could not be measured: {failed[number]}")
            if len(failed) == parts:
                raise
        keras.backend.clear_session()
        if seen:
            yield together()


def trained(
    folder: Path,
    plan: TrainingPlan,
    old: Model,
    old_folder: Path,
    learn: TrainingSet,
    say: Callable[[str], None],
) -> tuple[Model, int]:
    """Train in this process, in an empty folder; return the new version and its number of steps."""
    run = prepare(folder / "run", plan, old, keras_network(old_folder), learn, say)

    def tell(now: TrainingProgress) -> None:
        held_out = "" if now.validation is None else f", held out {now.validation:.4f} and TAR {now.tar:.3f}"
        say(f"step {now.step} of {now.steps}: loss {now.loss:.4f}{held_out}, {now.samples_per_s:.0f} faces/s")

    strategy: Any = runtime.tensorflow().distribute.get_strategy()
    outcome = loop.train(run, old.card, strategy, say=tell)
    card = publish.unmeasured(f"{old.card.version}-fold", old.card)
    publish.write(folder / "version", publish.learned_network(run), card)
    return Model.load(folder / "version", half=True), outcome.steps


def with_head(folder: Path, plan: TrainingPlan, old: Model, old_folder: Path, learn: TrainingSet) -> tuple[Model, int]:
    """Make a head, in an empty folder; return the new version and its number of steps, which is 0."""
    network = keras_network(old_folder)
    learned = head.of_people(old, network, learn, head.HeadPlan(seed=plan.seed))
    card = publish.unmeasured(f"{old.card.version}-head", old.card)
    publish.write(folder / "version", head.behind(network, learned, old.card.output.metric), card)
    return Model.load(folder / "version", half=True), 0
