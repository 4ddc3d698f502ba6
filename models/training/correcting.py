"""Measures the gain of corrections: trains once with and once without them, and tests on other pictures.

Each person's pictures are dealt into three parts: enrolled photos; pictures of a poor camera, in which every face that
the old version mistakes for somebody else is corrected; and later pictures of a poor camera, for the measurement.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from models.embedder.model import Model
from models.evaluation.comparisons import FAR, Comparisons, Interval, draws, interval
from models.pictures.geometry import Pixels
from models.training.crossval import trained
from models.training.measure import Change, degraded
from models.training.plan import TrainingPlan
from models.training.samples import Corrected, TrainingSet, UnusableTrainingSet

_PARTS = 3
_TRAININGS = ("without", "corrected")
_VIEWS = 2
"""How often each picture is degraded, each time differently."""


@dataclass(frozen=True, slots=True)
class Confused:
    """The share of later pictures of corrected people that are mistaken for the same strangers, at FAR 1e-2 over all.

    ``before`` is that of the old version, ``without`` and ``corrected`` of the trainings without and with corrections;
    ``interval`` is the 95 % interval over people of ``corrected - without``.
    """

    before: float
    without: float
    corrected: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class Gained:
    """The result so far.

    Attributes:
        corrections: number of corrected faces.
        pairs: number of pairs of people in them who were mistaken for each other.
        before: TAR at FAR 1e-2 of the old version, over all people.
        tars: the same for each finished training, by its name.
        failed: for each failed training, the reason.
        confused: see :class:`Confused`; None until both trainings have finished.
        degraded: the change of TAR from the training without corrections to the one with them; None likewise.
    """

    corrections: int
    pairs: int
    before: float
    tars: Mapping[str, float]
    failed: Mapping[str, str]
    confused: Confused | None = None
    degraded: Change | None = None


def measure(
    known: TrainingSet,
    *,
    plan: TrainingPlan,
    old_folder: Path,
    say: Callable[[str], None] = lambda text: None,
) -> Iterator[Gained]:
    """Train without and with corrections, and compare.

    Args:
        known: all people; those with fewer than three pictures are left out.
        plan: the plan of both trainings; its seed also deals and degrades the pictures.
        old_folder: the version to start from.
        say: called with a sentence about each step.

    Yields:
        The result before the trainings, and after each.

    Raises:
        UnusableTrainingSet: too few people are left, or the old version makes no mistake.
    """
    old = Model.load(old_folder)
    known = known.of_people(_seen_often(known))
    enrolled, seen, later = (known.taken(rows) for rows in _dealt(known, plan.seed))
    views = [degraded(seen.chips, plan.seed * 100 + view) for view in range(_VIEWS)]
    frames, labels = np.concatenate(views), np.tile(seen.labels, _VIEWS)
    hard = _taken_wrongly(old, frames, labels, enrolled)
    if not len(hard):
        raise UnusableTrainingSet(f"{old.card.version} mistakes nobody for anybody else: there is nothing to correct")
    say(f"{len(enrolled)} faces enrolled, {len(frames)} compared with them, {len(hard)} mistaken for somebody else")
    pairs = set(zip(hard.labels.tolist(), hard.not_labels.tolist(), strict=True))
    probes = np.concatenate([degraded(later.chips, plan.seed * 100 + _VIEWS + view) for view in range(_VIEWS)])
    whose = np.tile(later.labels, _VIEWS)

    def compared(model: Model) -> Comparisons:
        return _compared(_gaps(model, probes, enrolled), whose, enrolled)

    before, versions, failed = compared(old), dict[str, Comparisons](), dict[str, str]()
    gained = Gained(len(hard), len(pairs), before.tar(), {}, failed)
    yield gained
    for name, learn in zip(_TRAININGS, (enrolled, replace(enrolled, corrected=hard)), strict=True):
        say(f"a training {'with' if name == 'corrected' else name} corrections")
        try:
            with tempfile.TemporaryDirectory(prefix="facestream-corrections-") as scratch:
                versions[name] = compared(trained(Path(scratch), plan, old, old_folder, learn, say)[0])
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {error}"
        gained = replace(gained, tars={one: found.tar() for one, found in versions.items()})
        if len(versions) == len(_TRAININGS):
            without, corrected = (versions[one] for one in _TRAININGS)
            confused = _confused([before, without, corrected], pairs, plan.seed)
            gained = replace(gained, confused=confused, degraded=Change.of(without, corrected, seed=plan.seed))
        yield gained


def _seen_often(known: TrainingSet) -> list[str]:
    """The people who have at least one picture for each part."""
    counts = np.bincount(known.labels, minlength=len(known.people)).tolist()
    found = [person for person, count in zip(known.people, counts, strict=True) if count >= _PARTS]
    if len(found) < _PARTS:
        raise UnusableTrainingSet(f"only {len(found)} people have {_PARTS} pictures or more: too few to train on")
    return found


def _dealt(known: TrainingSet, seed: int) -> list[NDArray[np.intp]]:
    """The rows of each part; each person's rows are dealt separately."""
    random = np.random.default_rng([seed, 7])
    parts: list[list[int]] = [[] for _ in range(_PARTS)]
    for person in range(len(known.people)):
        for turn, row in enumerate(random.permutation(np.flatnonzero(known.labels == person)).tolist()):
            parts[turn % _PARTS].append(row)
    return [np.sort(np.array(part, np.intp)) for part in parts]


def _gaps(model: Model, probes: Pixels, enrolled: TrainingSet) -> NDArray[np.float64]:
    return np.asarray(cdist(model.embed(probes), model.embed(enrolled.chips)), np.float64)


def _compared(gaps: NDArray[np.float64], whose: NDArray[np.int32], enrolled: TrainingSet) -> Comparisons:
    first, second = np.broadcast_arrays(whose[:, None], enrolled.labels[None])
    return Comparisons.among(gaps.ravel(), first.ravel(), second.ravel())


def _taken_wrongly(old: Model, frames: Pixels, labels: NDArray[np.int32], enrolled: TrainingSet) -> Corrected:
    """The frames that the old version takes for somebody else, once for each such person."""
    gaps = _gaps(old, frames, enrolled)
    wrong = (gaps < _compared(gaps, labels, enrolled).distance_at(FAR)) & (labels[:, None] != enrolled.labels)
    rows, templates = np.nonzero(wrong)
    frame, not_label = np.unique(np.stack([rows, enrolled.labels[templates]]), axis=1).astype(np.int32)
    return Corrected(frames[frame], labels[frame], not_label)


def _confused(versions: list[Comparisons], pairs: set[tuple[int, int]], seed: int) -> Confused:
    def taken(compared: Comparisons) -> tuple[NDArray[np.bool_], NDArray[np.int32], NDArray[np.int32]]:
        chosen = np.array(
            [pair in pairs for pair in zip(compared.first.tolist(), compared.second.tolist(), strict=True)]
        )
        near = compared.distances[chosen] < compared.distance_at(FAR)
        return near, compared.first[chosen], compared.second[chosen]

    def share(
        near: NDArray[np.bool_], first: NDArray[np.int32], second: NDArray[np.int32], times: NDArray[np.float64]
    ) -> float:
        weight = times[first] * times[second]
        return float((near * weight).sum() / weight.sum()) if weight.sum() else float("nan")

    found = [taken(compared) for compared in versions]
    everybody = np.ones(versions[0].people)
    drawn = np.array([share(*found[2], times) - share(*found[1], times) for times in draws(versions[0].people, seed)])
    before, without, corrected = (share(*one, everybody) for one in found)
    return Confused(before, without, corrected, interval(drawn[~np.isnan(drawn)]))
