"""Counts the people to train on and to measure on, and says before a training whether its gate would refuse it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from models.training.gate import Rules
from models.training.samples import HELD_OUT, SIDES_SEED, Sample, split


@dataclass(frozen=True, slots=True)
class Sides:
    """A training set by numbers.

    Attributes:
        people: the people in all.
        faces: their faces.
        learned_people: people to train on.
        learned_faces: their faces.
        measured_people: people to measure on.
    """

    people: int
    faces: int
    learned_people: int
    learned_faces: int
    measured_people: int

    @classmethod
    def of(cls, faces: Iterable[str]) -> Sides:
        """Count faces, each given as its person; see :attr:`models.training.samples.Sample.person`."""
        each = Counter(faces)
        learned, measured = split(each, HELD_OUT, SIDES_SEED)
        return cls(len(each), each.total(), len(learned), sum(each[person] for person in learned), len(measured))

    def shortfall(self, rules: Rules | None = None) -> str | None:
        """Why the gate would refuse a version that was trained on this; None if there is enough."""
        rules = rules or Rules()
        lacking = [
            f"{least - there} more {what}"
            for there, least, what in (
                (self.learned_people, rules.people, "to train on"),
                (self.measured_people, rules.people_tested, "to measure on"),
                (self.learned_faces, rules.chips, "faces of people to train on"),
            )
            if there < least
        ]
        if not lacking:
            return None
        return (
            f"too few people to train on: there are {self.people}, with {self.faces} faces. A hash of the name puts "
            f"{self.learned_people} of them, with {self.learned_faces} faces, among those to train on and "
            f"{self.measured_people} among those to measure on. A version that may take over needs {rules.people} with "
            f"{rules.chips} faces and {rules.people_tested}: lacking are {', '.join(lacking)}"
        )


def sides_of(samples: Iterable[Sample]) -> Sides:
    """Count samples; those with one event id are one face, as in a training set."""
    return Sides.of({sample.event_id: sample.person for sample in samples}.values())
