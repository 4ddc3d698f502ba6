"""What was measured of each part of the system, as ``measured.json`` keeps it: with command, day and machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("measured.json")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a figure comes from."""

    source: str
    date: str
    machine: str


@dataclass(frozen=True, slots=True)
class Parts:
    """The measured figures.

    Attributes:
        cpu_ms: processor milliseconds a frame in a backlog, by role and service.
        slow_cpu_ms: the same where ``slow_fps`` frames a second come.
        slow_fps: see there.
        idle_percent: processor time without frames in per cent of a core, by role and service.
        cores: of the machine on which all of that was measured.
        backlog_fps: frames a second that one worker of each role did there, the services beside them.
        memory_mib: resident memory of a worker with next to no templates, by role.
        frame_bytes: bytes of a frame by place: ``kafka frames``, ``kafka embeddings``, ``kafka matches``, ``redis``
            (all keys together), ``redis answer`` (the one under the event id) and ``bigquery matches``.
        template_bytes: memory of a template in a gallery.
        template_disk_bytes: of a template's record in the changelog, and in the worker's table.
        search_ms_per_million: milliseconds to identify a face among a million templates of one user.
        recovery_us: microseconds a template until a shard answers: on a ``new machine``, and from its ``own disk``.
        half_load_ms: milliseconds from camera to answer at half of the greatest rate: ``p50`` and ``p99``.
    """

    cpu_ms: Mapping[str, float]
    slow_cpu_ms: Mapping[str, float]
    slow_fps: float
    idle_percent: Mapping[str, float]
    cores: int
    backlog_fps: float
    memory_mib: Mapping[str, float]
    frame_bytes: Mapping[str, int]
    template_bytes: int
    template_disk_bytes: int
    search_ms_per_million: float
    recovery_us: Mapping[str, float]
    half_load_ms: Mapping[str, float]

    def batch_ms(self, part: str) -> float:
        """What a batch costs beside its frames: what a lonely frame costs beyond one in a full batch and idling."""
        idle_ms = 10 * self.idle_percent[part] / self.slow_fps
        return max(0.0, self.slow_cpu_ms[part] - idle_ms - self.cpu_ms[part])


@cache
def measured() -> tuple[Parts, Mapping[str, Origin]]:
    """The figures of the file, and the origin of each by its name."""
    return parse(json.loads(FILE.read_text("utf-8")))


def parse(document: Mapping[str, Any]) -> tuple[Parts, Mapping[str, Origin]]:
    """Figures and origins from the form of the file.

    Raises:
        KeyError: a figure is missing.
    """
    machines, figures = document["machines"], document["figures"]
    origins = {name: Origin(one["source"], one["date"], machines[one["machine"]]) for name, one in figures.items()}
    return Parts(**{field.name: figures[field.name]["value"] for field in fields(Parts)}), origins
