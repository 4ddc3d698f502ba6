"""The gate of a trained version: decides whether it may take over, and gives each reason why not in a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

from models.embedder.card import Lineage, Shift

_NORMAL = NormalDist()
_LEVEL = 0.05

CLEAN = "clean"
"""The name of the measurement on good pictures, on which the parent already does well."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The limits for a trained version."""

    people: int = 10
    """Fewest people in the training set."""
    chips: int = 50
    """Fewest faces in the training set."""
    people_tested: int = 4
    """Fewest people that the version, or a group, is measured on."""
    slowest: float = 1.2
    """Largest time per face, relative to the parent's."""
    clean_loss: float = 0.005
    """Largest loss of TAR on good pictures."""

    @property
    def people_in_all(self) -> int:
        """With fewer people to train on and to measure on, no version may take over."""
        return self.people + self.people_tested


def refusals(lineage: Lineage, rules: Rules | None = None) -> list[str]:
    """The reasons why a version must not take over; if there are none, it may."""
    rules = rules or Rules()
    found = [
        f"it was trained on {had} {what}, fewer than {least}"
        for what, had, least in (
            ("people", lineage.people, rules.people),
            ("faces", lineage.chips, rules.chips),
        )
        if had < least
    ]
    if lineage.people_tested < rules.people_tested:
        found.append(f"it was measured on {lineage.people_tested} people, fewer than {rules.people_tested}")
    if lineage.latency_ratio is None:
        found.append("its time per face was not measured")
    elif not lineage.latency_ratio <= rules.slowest:
        found.append(f"it takes {lineage.latency_ratio:.2f} times as long per face, more than {rules.slowest:g}")
    for kind, measured in lineage.measured.items():
        low, high = measured.gain_interval
        if not high >= 0:
            found.append(
                f"on {kind} pictures it is worse beyond its interval: TAR {measured.before:.3f} before and "
                f"{measured.after:.3f} after, a change of {low:+.3f} to {high:+.3f}"
            )
        elif kind == CLEAN and not measured.gain >= -rules.clean_loss:
            found.append(f"on clean pictures it loses {-measured.gain:.3f} of the TAR, more than {rules.clean_loss:g}")
    judged = [one for one in lineage.groups if one.people >= rules.people_tested]
    looks = 2 * len(judged)
    for one in judged:
        for what, shift in (("FNMR", one.fnmr), ("FMR", one.fmr)):
            if shift is not None and _surely_worse(shift, looks):
                found.append(
                    f"for {one.by} {one.group} it is worse beyond its interval on {one.pictures} pictures: {what} "
                    f"{shift.before:.3f} before and {shift.after:.3f} after"
                )
    if not any(measured.gain > 0 for measured in lineage.measured.values()):
        found.append("it is not better in any measurement")
    return found


def _surely_worse(shift: Shift, looks: int) -> bool:
    """Whether an error has grown beyond its interval, which is widened for the number of comparisons.

    Source: Bonferroni's correction, with the quantiles of a normal distribution.
    """
    widened = _NORMAL.inv_cdf(1 - _LEVEL / looks / 2) / _NORMAL.inv_cdf(1 - _LEVEL / 2)
    return shift.change - widened * (shift.change - shift.change_interval[0]) > 0
