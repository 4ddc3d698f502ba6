"""What the workers and services of a stack have cost."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from statistics import median

import psutil

from streams.devtools.local_stack import Stack
from streams.roles import ANSWERING, Role

WORKERS: tuple[str, ...] = ANSWERING
"""The parts that are workers on the way from a frame to its answer."""
PRODUCER = "producer"
"""The process of the benchmark, which sends."""


def cpu_s(stack: Stack, role: Role) -> float:
    """Processor time that the workers of a role have used."""
    running = stack.services.supervisor.running()
    return sum(_used_s(pid) for name, pid in running.items() if name.startswith(f"{role}-"))


def cpu_by_part(stack: Stack) -> dict[str, float]:
    """Processor seconds used so far by each part: the workers by role, the services, and this process."""
    used = {str(role): 0.0 for role in WORKERS}
    for name, pid in stack.services.supervisor.running().items():
        role, _, number = name.rpartition("-")
        part = role if number.isdecimal() else name
        used[part] = used.get(part, 0.0) + _used_s(pid)
    return used | {PRODUCER: time.process_time()}


def ms_each(before: Mapping[str, float], after: Mapping[str, float], frames: int) -> dict[str, float]:
    """Processor milliseconds a frame by part, between two times."""
    return {part: round(1000 * (used - before.get(part, 0.0)) / frames, 2) for part, used in after.items()}


def of_workers(by_part: Mapping[str, float]) -> float:
    """What all workers cost together."""
    return round(sum(by_part[part] for part in WORKERS), 2)


def medians(rounds: Collection[Mapping[str, float]]) -> dict[str, float]:
    """The median of each part over some rounds."""
    return {part: round(median(one[part] for one in rounds), 2) for one in rounds for part in one}


def _used_s(leader: int) -> float:
    process = psutil.Process(leader)
    return sum(sum(one.cpu_times()[:2]) for one in (process, *process.children(recursive=True)))
