"""What a version has to hold while it is tried; see also the gate before a rollout, ``models.training.gate``."""

from __future__ import annotations

import math
from dataclasses import dataclass

from streams.rollout.report import Report

_FEW = 100
"""Of fewer faces or frames neither a mean nor a percentile says anything."""


@dataclass(frozen=True, slots=True)
class Gates:
    """Limits; a rate is a share of the faces or frames."""

    disagreement: float = 0.05
    """Largest share of the faces of which the versions do not say the same."""
    unknown_rise: float = 0.02
    """So much more may be unknown than to the other version."""
    margin_drop: float = 0.1
    """So much smaller may the mean margin of those named be: 0.1 is a tenth of the threshold."""
    p99_rise: float = 1.5
    """So many times the 99th percentile of the latency before the rollout."""
    p99_floor_ms: float = 250.0
    """A 99th percentile below this is never too slow: beside a quiet time everything is."""
    error_rise: float = 0.001
    """So many more frames may fail than before the rollout."""


def violations(now: Report, before: Report, gates: Gates) -> list[str]:
    """Why a version must not go on; none: it may. ``before`` is a report of the time before the rollout.

    A rate counts only as far as chance does not explain it: few frames prove little.
    """
    found = []
    if _surely(now.disagreement, now.faces) > gates.disagreement:
        found.append(
            f"it disagrees with {now.against} on {now.disagreement:.1%} of {now.faces} faces, more than "
            f"{gates.disagreement:.1%}"
        )
    new, old = now.new, now.old
    if _surely(new.unknown_rate, now.faces) > old.unknown_rate + gates.unknown_rise:
        found.append(f"{new.unknown_rate:.1%} of the faces are unknown to it, {old.unknown_rate:.1%} to {now.against}")
    if (
        now.faces >= _FEW
        and new.margin is not None
        and old.margin is not None
        and new.margin < old.margin - gates.margin_drop
    ):
        found.append(f"its mean margin is {new.margin:.3f}, that of {now.against} {old.margin:.3f}")
    if now.p99_ms is not None and now.answered >= _FEW:
        limit = max(gates.p99_floor_ms, gates.p99_rise * (before.p99_ms or 0.0))
        if now.p99_ms > limit:
            found.append(f"99 of 100 frames are answered within {now.p99_ms:.0f} ms, which is more than {limit:.0f} ms")
    if now.answered >= _FEW and _surely(now.error_rate, now.answered) > before.error_rate + gates.error_rise:
        found.append(f"{now.error_rate:.2%} of the frames fail, {before.error_rate:.2%} before")
    return found


def _surely(rate: float, count: int) -> float:
    """The lower end of Wilson's 95 % interval of a rate."""
    if not count:
        return 0.0
    z2 = 1.96**2
    middle = rate + z2 / (2 * count)
    return (middle - math.sqrt(z2 * (rate * (1 - rate) / count + z2 / (4 * count**2)))) / (1 + z2 / count)
