"""The range of ports that a home keeps: services first, then the metrics of workers."""

from __future__ import annotations

import json
from pathlib import Path

from streams.homes.files import write_json

PORTS_FILE = "ports.json"
"""In the home folder: the first port of its range."""
FIRST_BASE = 14_000
BLOCK = 50
"""Ports of a home: 5 for services, then that of the HTTP gateway, from the 10th on for the workers of ``up``, from the
30th on for other workers."""
BASES = range(FIRST_BASE, FIRST_BASE + 20 * BLOCK, BLOCK)
"""Where the ranges begin that are given to homes, below the ports of outgoing connections on Linux and macOS."""
_GATEWAY, _WORKERS, _OTHERS = 5, 10, 30


def remembered(home: Path) -> int | None:
    """The first port of a home's range, if it has one."""
    try:
        base = json.loads((home / PORTS_FILE).read_text("utf-8"))["base"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return base if isinstance(base, int) else None


def keep(home: Path, base: int) -> None:
    """Let a home begin its range here from now on."""
    write_json(home / PORTS_FILE, {"base": base})


def of_gateway(base: int) -> int:
    """The port of the HTTP gateway."""
    return base + _GATEWAY


def of_worker(base: int, place: int) -> int | None:
    """The port for the metrics of the worker of ``up`` at this place; None: there are too many workers."""
    return base + _WORKERS + place if _WORKERS + place < _OTHERS else None


def of_others(base: int) -> str:
    """The range of ports for workers that ``up`` did not start."""
    return f"{base + _OTHERS}-{base + BLOCK - 1}"
