"""Chooses the range of ports of a home."""

from __future__ import annotations

from pathlib import Path

from infra.ports import ServicePorts, is_free
from streams.homes import ports, registry


def choose(home: Path, wanted: int | None = None) -> int | None:
    """The first port of the home's range, which it keeps from then on.

    Args:
        home: the folder of the stack.
        wanted: where the range is to begin; None: where it began before, or the first range that no other home of this
            user has and of which all ports are free; 0: no range at all, this time.

    Returns:
        None: free ports are to be taken.
    """
    if wanted == 0:
        return None
    with registry.alone():
        base = wanted or ports.remembered(home) or _free_base(home)
        if base is not None:
            ports.keep(home, base)
            registry.remember(home)
    return base


def _free_base(home: Path) -> int | None:
    """The first range that no other home has and of which all ports are free."""
    others = {ports.remembered(other) for other in registry.homes() if other != home.absolute()}
    candidates = (one for one in ports.BASES if one not in others)
    return next((one for one in candidates if all(map(is_free, ServicePorts.after(one)))), None)
