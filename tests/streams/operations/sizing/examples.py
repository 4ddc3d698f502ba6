"""Parts with round numbers, to calculate with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from streams.operations.sizing.demand import Demand
from streams.operations.sizing.parts import Parts

PARTS = Parts(
    cpu_ms={"embed": 20.0, "match": 2.0, "sink-redis": 1.0, "sink-bigquery": 1.0, "kafka": 5.0, "redis": 0.2},
    slow_cpu_ms={"embed": 50.0, "match": 12.0, "sink-redis": 5.0, "sink-bigquery": 5.0, "kafka": 9.0, "redis": 0.4},
    slow_fps=5.0,
    idle_percent={"embed": 5.0, "match": 2.0, "sink-redis": 1.0, "sink-bigquery": 1.0, "kafka": 2.0, "redis": 0.1},
    cores=2,
    backlog_fps=50.0,
    memory_mib={"embed": 1024, "match": 512, "sink-redis": 128, "sink-bigquery": 256},
    frame_bytes={
        "kafka frames": 50_000,
        "kafka embeddings": 2_000,
        "kafka matches": 1_000,
        "redis": 4_000,
        "redis answer": 2_000,
        "bigquery matches": 700,
    },
    template_bytes=1_024,
    template_disk_bytes=800,
    search_ms_per_million=30.0,
    recovery_us={"new machine": 70.0, "own disk": 50.0},
    half_load_ms={"p50": 60.0, "p99": 200.0},
)


def demand(**changes: Any) -> Demand:
    """500 cameras with 2 frames a second, a user each, and 2 million subjects."""
    return replace(Demand(cameras=500, fps=2, subjects=2e6, users=500), **changes)
