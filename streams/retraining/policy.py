"""The rules that decide whether a training is worth it, from what was counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from models.training.gate import Rules
from models.training.sides import Sides
from schemas.learning import RunCondition
from streams.settings import Settings


@dataclass(frozen=True, slots=True)
class TrainingMinimum:
    """The least numbers of people, faces and hours with which a training starts.

    Attributes:
        people: people in the training set.
        new_people: people whom the last version did not know.
        new_faces: faces that it did not know.
        interval_h: hours since the last training.
        gate: the limits that the version has to meet afterwards; None: it is trained even if it cannot take over.
    """

    people: int
    new_people: int
    new_faces: int
    interval_h: float
    gate: Rules | None = None

    @classmethod
    def of(cls, settings: Settings) -> TrainingMinimum:
        """The numbers in the settings; asking for fewer people than the gate needs is asking for a trial."""
        gate = Rules()
        return cls(
            settings.retrain_min_people,
            settings.retrain_new_people,
            settings.retrain_new_faces,
            settings.retrain_min_interval_h,
            gate if settings.retrain_min_people >= gate.people_in_all else None,
        )


@dataclass(frozen=True, slots=True)
class TrainableFaces:
    """What there is to learn from.

    Attributes:
        people: people whose faces may be learned from.
        faces: their faces.
        new_people: people whom the last version did not know.
        new_faces: faces that it did not know.
        hours: hours since the last training began; None: there was none.
        alarms: reasons to train although little is new, such as drift of a camera's pictures; a sentence each.
        sides: how people and faces divide into those to train on and those to measure on.
    """

    people: int = 0
    faces: int = 0
    new_people: int = 0
    new_faces: int = 0
    hours: float | None = None
    alarms: Sequence[str] = ()
    sides: Sides = field(default_factory=lambda: Sides.of(()))


@dataclass(frozen=True, slots=True)
class TrainingDecision:
    """Whether to train, why, and what each condition found."""

    train: bool
    reason: str
    conditions: list[RunCondition]


def decide(counted: TrainableFaces, wanted: TrainingMinimum) -> TrainingDecision:
    """Train if there are people enough, the last training is long ago, and enough is new, or an alarm rings.

    With an alarm one new face is enough; without any the same version would be made again.
    """
    people = _at_least("people", wanted.people, counted.people)
    conditions = [people]
    if wanted.gate is not None:
        sides, gate = counted.sides, wanted.gate
        conditions += [
            _at_least("people to train on", gate.people, sides.learned_people),
            _at_least("people to measure on", gate.people_tested, sides.measured_people),
            _at_least("faces of people to train on", gate.chips, sides.learned_faces),
        ]
    if counted.hours is not None:
        conditions.append(_at_least("hours since the last training", wanted.interval_h, counted.hours))
    needed = list(conditions)
    new_data = [
        _at_least("new people", wanted.new_people, counted.new_people),
        _at_least("new faces", wanted.new_faces, counted.new_faces),
    ]
    conditions += new_data
    if unmet := [one for one in needed if not one.met]:
        return TrainingDecision(False, "; ".join(map(_too_few, unmet)), conditions)
    if met := [one for one in new_data if one.met]:
        return TrainingDecision(True, "; ".join(f"{one.found:g} {one.name}" for one in met), conditions)
    if counted.alarms and counted.new_faces:
        return TrainingDecision(True, "; ".join(counted.alarms), conditions)
    return TrainingDecision(False, "; ".join(map(_too_few, new_data)), conditions)


def _at_least(name: str, wanted: float, found: float) -> RunCondition:
    return RunCondition(name, wanted, round(found, 2), found >= wanted)


def _too_few(one: RunCondition) -> str:
    return f"{one.found:g} {one.name}, fewer than {one.wanted:g}"
