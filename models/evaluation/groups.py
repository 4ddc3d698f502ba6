"""Verification errors of groups of people or pictures, at the same distance for all groups.

A label is the name of a group in a dimension, such as ``door`` in ``camera`` or ``60 and more`` in ``age``. The camera
of a face is known if somebody has confirmed the face. All other labels come from a file and are on no topic. Strangers
are compared within a group, where they look most alike.

Sources: ISO/IEC 19795-10 for the errors of each group at one threshold; NIST IR 8280 for strangers within a group.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from models.evaluation.comparisons import Comparisons, Interval, draws, exact_at_extremes, interval
from schemas.ids import canonical

Labels = NDArray[np.str_]
"""The group of each picture [n] in one dimension; UNLABELLED if it is unknown."""

UNLABELLED = ""
CAMERA = "camera"

_KEYS = ("event_id", "user_id", "subject_id")


class UnusableLabels(ValueError):
    """The file of labels is invalid; the message gives file and line."""


class Group(NamedTuple):
    """One group: its dimension and its name."""

    by: str
    name: str


@dataclass(frozen=True, slots=True)
class Labelling:
    """The labels of people or pictures, as read from a file."""

    keys: tuple[str, ...] = ()
    labels: Mapping[tuple[str, ...], Mapping[str, str]] | None = None

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read a CSV file with a heading.

        One or more of the columns ``event_id``, ``user_id`` and ``subject_id`` identify what a line is about. Every
        other column is a dimension, and its cells are names of groups, or empty if the group is unknown.

        Raises:
            UnusableLabels: the file cannot be read, lacks such columns, or contradicts itself.
        """
        rows = _rows(file)
        _, heading = next(rows, (0, []))
        keys = tuple(name for name in _KEYS if name in heading)
        if not keys or len(heading) == len(keys) or len(set(heading)) < len(heading):
            raise UnusableLabels(
                f"{file} needs a heading with {', '.join(_KEYS[:-1])} or {_KEYS[-1]}, and a column for each dimension"
            )
        labels: dict[tuple[str, ...], dict[str, str]] = {}
        for number, row in rows:
            if len(row) != len(heading):
                raise UnusableLabels(f"{file}, line {number}: {len(row)} cells under a heading of {len(heading)}")
            cells = dict(zip(heading, row, strict=True))
            whose = tuple(canonical(cells.pop(key)) for key in keys)
            said = {by: name for by, name in cells.items() if name != UNLABELLED}
            if labels.setdefault(whose, said) != said:
                raise UnusableLabels(f"{file}, line {number}: an earlier line has other labels for {'/'.join(whose)}")
        return cls(keys, labels)

    def of(self, event_id: str, user_id: str, subject_id: str) -> dict[str, str]:
        """The labels of a picture: its group by dimension."""
        names = dict(zip(_KEYS, (event_id, canonical(user_id), canonical(subject_id)), strict=True))
        return dict((self.labels or {}).get(tuple(names[key] for key in self.keys), {}))


@dataclass(frozen=True, slots=True)
class Errors:
    """Errors at one distance, with 95 % intervals over people; FMR is None if no two strangers were compared."""

    people: int
    genuine_pairs: int
    impostor_pairs: int
    fnmr: float
    fnmr_interval: Interval
    fmr: float | None
    fmr_interval: Interval | None


def labelled(known: Sequence[Mapping[str, str]]) -> dict[str, Labels]:
    """Labels by dimension, from the labels of each picture [n]."""
    dimensions = sorted({by for one in known for by in one})
    return {by: np.array([one.get(by, UNLABELLED) for one in known]) for by in dimensions}


def groups_of(labels: Mapping[str, Labels]) -> list[Group]:
    """All groups that have pictures, sorted by dimension and name."""
    return [Group(by, name) for by in sorted(labels) for name in sorted(set(labels[by].tolist()) - {UNLABELLED})]


def within(labels: Labels, name: str, first: NDArray[np.intp], second: NDArray[np.intp]) -> NDArray[np.bool_]:
    """A mask of the pairs [m] that belong to a group: one picture is in it, the other is in it or unlabelled.

    For example, faces of a camera are compared with each other and with enrolment photos, which have no camera, but not
    with faces of other cameras.

    Args:
        labels: the group of each picture [n].
        name: of the group.
        first: the row of the first picture of each pair [m].
        second: the row of the second picture of each pair [m].
    """
    one, other = labels[first], labels[second]
    mine = np.array([name, UNLABELLED])
    return np.asarray(((one == name) | (other == name)) & np.isin(one, mine) & np.isin(other, mine))


def drawn_errors(compared: Comparisons, distance: float, seed: int) -> NDArray[np.float64]:
    """FNMR and FMR at a distance, [1 + draws, 2]: first as measured, then for each bootstrap sample of the people.

    NaN if a sample has no pairs.
    """
    numbers, places = np.unique(np.concatenate([compared.first, compared.second]), return_inverse=True)
    people, (first, second) = len(numbers), np.split(places, 2)
    if not people:
        return np.full((1, 2), np.nan)
    same, passed = first == second, compared.distances < distance
    times = np.concatenate([np.ones((1, people)), draws(people, seed)])

    def counted(rows: NDArray[np.bool_]) -> NDArray[np.float64]:
        pairs = np.bincount(first[rows] * people + second[rows], minlength=people**2).astype(np.float64)
        return pairs.reshape(people, people)

    def genuine(rows: NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.asarray(times @ np.diagonal(counted(rows & same)))

    def impostor(rows: NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.asarray(np.einsum("dp,dp->d", times @ counted(rows & ~same), times))

    every = np.ones_like(same)
    with np.errstate(invalid="ignore"):
        fnmr, fmr = genuine(~passed) / genuine(every), impostor(passed) / impostor(every)
    return np.stack([fnmr, fmr], axis=1)


def errors(compared: Comparisons, distance: float) -> Errors | None:
    """The errors of a group at a distance, from its pairs; None without genuine pairs."""
    return summed_up(compared, drawn_errors(compared, distance, seed=0))


def summed_up(compared: Comparisons, drawn_rates: NDArray[np.float64]) -> Errors | None:
    """The errors of a group, from its pairs and the result of :func:`drawn_errors`; None without genuine pairs."""
    genuine = int((compared.first == compared.second).sum())
    if not genuine:
        return None
    impostor = len(compared.distances) - genuine
    fnmr, fmr = drawn_rates[0].tolist()
    fnmrs, fmrs = (column[~np.isnan(column)] for column in drawn_rates[1:].T)
    people = len(set(compared.first.tolist()) | set(compared.second.tolist()))
    return Errors(
        people=people,
        genuine_pairs=genuine,
        impostor_pairs=impostor,
        fnmr=fnmr,
        fnmr_interval=exact_at_extremes(interval(fnmrs), fnmr, compared.people_twice),
        fmr=fmr if impostor else None,
        fmr_interval=exact_at_extremes(interval(fmrs), fmr, people) if impostor else None,
    )


def _rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            for number, row in enumerate(csv.reader(lines), 1):
                if any(cells := [cell.strip() for cell in row]):
                    yield number, cells
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnusableLabels(f"{file} cannot be read: {error}") from error
