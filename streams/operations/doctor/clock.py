"""Checks how far another machine's clock is from ours."""

from __future__ import annotations

from streams.operations.doctor.finding import Finding, ok, warn
from streams.operations.doctor.remedies import Remedy

LIMIT_S = 1.0


def clock(whose: str, ahead_s: float, uncertain_s: float = 0.0) -> Finding:
    """Judge a clock that is ``ahead_s`` ahead of ours (negative: behind), give or take ``uncertain_s``."""
    name = f"clock of {whose}"
    if abs(ahead_s) - uncertain_s > LIMIT_S:
        return warn(
            name, f"{abs(ahead_s):.1f} s {'ahead of' if ahead_s > 0 else 'behind'} this machine", Remedy.CLOCK()
        )
    return ok(name, f"{1000 * abs(ahead_s):.0f} ms from this machine's")
