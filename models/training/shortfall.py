"""Says before a training what the gate would say after it: whether there are people and faces enough."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from models.training.minimum import CHIPS, PEOPLE, PEOPLE_IN_ALL, PEOPLE_MEASURED
from models.training.samples import Sample, split


def shortfall(samples: Iterable[Sample], held_out: float, seed: int) -> str | None:
    """Why a version trained on these samples would be refused; None if there are enough.

    Args:
        samples: the whole training set.
        held_out: the share of the people that the version is measured on, see :func:`models.training.samples.split`.
        seed: of the split.
    """
    faces = Counter(sample.person for sample in samples)
    learn_from, measured_on = split(faces, held_out, seed)
    chips = sum(faces[person] for person in learn_from)
    lacking = []
    if len(learn_from) < PEOPLE:
        lacking.append(f"{PEOPLE - len(learn_from)} more to train on")
    if len(measured_on) < PEOPLE_MEASURED:
        lacking.append(f"{PEOPLE_MEASURED - len(measured_on)} more to measure on")
    if chips < CHIPS:
        lacking.append(f"{CHIPS - chips} more faces of those to train on")
    if not lacking:
        return None
    return (
        f"{len(faces)} people have agreed, with {faces.total()} faces: {len(learn_from)} would be trained on, with "
        f"{chips} faces, and {len(measured_on)} measured on, as a hash of the name decides. A version needs {PEOPLE} "
        f"with {CHIPS} faces, and {PEOPLE_MEASURED}, so {PEOPLE_IN_ALL} people at least; "
        f"lacking are {' and '.join(lacking)}"
    )
