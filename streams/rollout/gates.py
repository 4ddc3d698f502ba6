"""The gates of a version during its rollout; ``models.training.gate`` is the one before it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from streams.rollout.report import Report

_FEW = 100
"""Fewest faces or frames of which a mean or a percentile counts."""


@dataclass(frozen=True, slots=True)
class Gates:
    """Limits; a rate is a share of the faces or frames."""

    disagreement: float = 0.05
    """Largest share of the faces that the versions decide differently."""
    unknown_rise: float = 0.02
    """Largest rise of the share of unknown faces over that of the other version."""
    margin_drop: float = 0.1
    """Largest drop of the mean margin of matched faces; 0.1 is a tenth of the threshold."""
    p99_rise: float = 1.5
    """Largest 99th percentile of the latency, as a multiple of that before the rollout."""
    p99_floor_ms: float = 250.0
    """A 99th percentile below this passes, however low it was before the rollout."""
    error_rise: float = 0.001
    """Largest rise of the share of failed frames over that before the rollout."""


def violations(now: Report, before: Report, gates: Gates) -> list[str]:
    """The gates that a version violates, in words. ``before`` is a report of the time before the rollout.

    A rate counts at the lower end of its confidence interval, since few frames prove little.
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
    """The lower end of Wilson's 95 % confidence interval of a rate."""
    if not count:
        return 0.0
    z2 = 1.96**2
    middle = rate + z2 / (2 * count)
    return (middle - math.sqrt(z2 * (rate * (1 - rate) / count + z2 / (4 * count**2)))) / (1 + z2 / count)
