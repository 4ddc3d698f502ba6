"""A benchmark that runs several times: medians and spread of its figures, and the machine that they hold for."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from streams.devtools.benchmarks.rows import NOT_MEASURED, SPREAD, Figures

RUNS = "runs"
MACHINE = "machine"
_CPUINFO = Path("/proc/cpuinfo")


def machine() -> dict[str, Any]:
    """What the figures hold for: processor, usable cores, memory, system, Python, and how busy it is now."""
    return {
        "processor": _processor(),
        "cores": len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_before": round(psutil.getloadavg()[0], 2),
    }


def summary(runs: Sequence[Figures]) -> dict[str, Any]:
    """One result of several: the median of each number, and as ``spread`` the least and the greatest of each.

    Numbers are found wherever they are, by the names above them joined with dots; rows of a list go by the first text
    in them. What is no number is that of the last run; what failed in any run is marked as such.
    """
    if len(runs) == 1:
        return dict(runs[0])
    runs = [{name: value for name, value in one.items() if name != SPREAD} for one in runs]
    last = runs[-1]
    failed = {row: why for one in runs for row, why in one.get(NOT_MEASURED, {}).items()}
    values: dict[str, list[float]] = {}
    for one in runs:
        for path, number in numbers(one):
            values.setdefault(path, []).append(number)
    found = _with_medians(last, values)
    spread = {path: [min(seen), max(seen)] for path, seen in values.items() if len(seen) > 1}
    return {**found, SPREAD: spread} | ({NOT_MEASURED: failed} if failed else {})


def numbers(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """The numbers in a result, by where they are."""
    if isinstance(value, bool):
        return
    if isinstance(value, int | float):
        yield path, value
        return
    for name, inner in _named(value):
        yield from numbers(inner, f"{path}.{name}" if path else name)


def _with_medians(value: Any, values: Mapping[str, Sequence[float]], path: str = "") -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        median = statistics.median(values[path])
        return round(median, 4) if isinstance(median, float) else median
    inner = [(name, _with_medians(one, values, f"{path}.{name}" if path else name)) for name, one in _named(value)]
    if isinstance(value, Mapping):
        return dict(inner)
    return [one for _, one in inner] if isinstance(value, list) else value


def _named(value: Any) -> Iterable[tuple[str, Any]]:
    """What is in a mapping or a list, each with a name; nothing in anything else."""
    if isinstance(value, Mapping):
        return [(str(name), one) for name, one in value.items()]
    if isinstance(value, list):
        return [(_name_of(one, number), one) for number, one in enumerate(value)]
    return []


def _name_of(row: Any, number: int) -> str:
    """The name of a row: the first text in it, or else its number."""
    texts = [one for one in row.values() if isinstance(one, str)] if isinstance(row, Mapping) else []
    return texts[0] if texts else str(number)


def _processor() -> str:
    if _CPUINFO.exists():
        for line in _CPUINFO.read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
