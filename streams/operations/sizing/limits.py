"""What limits a cluster first, and why some demands cannot be met."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from streams.operations.sizing.demand import LOAD, MAX_PARTITIONS, MEMORY_SHARE, Demand
from streams.operations.sizing.parts import Parts
from streams.operations.sizing.scaling import imbalance
from streams.roles import ANSWERING, Role

FASTEST = 1.0
"""Latencies were measured at half of the load; for a lower one there is no figure."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How many times the demand a part of the cluster could do, and what helps when it is reached."""

    part: str
    times: float
    remedy: str


@dataclass(frozen=True, slots=True)
class Sized:
    """A cluster that was sized: ``room_gib`` is what a match worker has for templates."""

    demand: Demand
    parts: Parts
    search_ms: float
    cpu_s: Mapping[Role, float]
    counts: Mapping[Role, int]
    partitions: int
    gallery_gib: float
    room_gib: float


def found(sized: Sized) -> tuple[Limit, ...]:
    """All limits, the nearest first."""
    demand, cores = sized.demand, sized.demand.cores
    limits = [
        Limit(
            f"processors of {role}",
            sized.counts[role] * cores / (used * imbalance(demand.users, sized.partitions, sized.counts[role])),
            f"more workers of {role}, at most {sized.partitions}",
        )
        for role, used in sized.cpu_s.items()
    ]
    busiest = max(sized.cpu_s.values())
    limits += [
        Limit("partitions", sized.partitions * cores / busiest, "more partitions, chosen before the first start"),
        Limit("memory of match", _memory_times(sized), "more workers of match, or more memory for each"),
        Limit("the frames of one user", cores / _user_s(sized), "more cores for a worker, or fewer cameras a user"),
        Limit("the processor of Redis", _redis_times(sized), "several installations: Redis is one server"),
    ]
    return tuple(Limit(one.part, round(one.times, 2), one.remedy) for one in sorted(limits, key=lambda one: one.times))


def obstacles(sized: Sized) -> tuple[str, ...]:
    """Why the demand cannot be met; empty: it can."""
    demand, parts = sized.demand, sized.parts
    why = []
    if sized.room_gib <= 0:
        need = parts.memory_mib[Role.MATCH] / 1024 / MEMORY_SHARE
        why.append(
            f"A worker of match needs {need:.1f} GiB before it has a template, but workers have "
            f"{demand.worker_gib:g}: give them more (--worker-gib)."
        )
    elif (of_user := demand.templates / demand.users * parts.template_bytes / 2**30) > sized.room_gib:
        why.append(
            f"The gallery of one user lies on one worker: {of_user:.1f} GiB for {demand.templates / demand.users:,.0f} "
            f"templates, and a worker has room for {sized.room_gib:.1f}. Spread the subjects over "
            f"{_ceil(of_user / sized.room_gib * demand.users)} users or more, or give workers more memory."
        )
    if (user_s := _user_s(sized)) > demand.cores * LOAD:
        users = _ceil(user_s * demand.users / (demand.cores * LOAD))
        why.append(
            "The frames of one user go to one partition, which one worker reads: "
            f"{demand.frames_per_s / demand.users:,.1f} frames a second take {user_s:.1f} processors of a role, and a "
            f"worker has {demand.cores}, loaded to {LOAD:.0%}. Spread the cameras over {users} users or more, "
            "or give workers more cores (--cores)."
        )
    why += [
        f"{role} needs {count} workers, but a topic has at most {MAX_PARTITIONS} partitions, each for one worker. Give "
        "workers more cores or memory, or run several installations."
        for role, count in sized.counts.items()
        if count > MAX_PARTITIONS
    ]
    if (times := _redis_times(sized)) < 1:
        why.append(
            f"All answers go to one Redis server, whose one thread does {times * demand.frames_per_s:,.0f} a second. "
            f"Divide the users among {_ceil(1 / times)} installations."
        )
    if demand.p99_ms is not None:
        least = parts.half_load_ms["p99"] * FASTEST + sized.search_ms
        if demand.p99_ms < least:
            why.append(
                f"99 of 100 answers within {demand.p99_ms:g} ms is less than was ever measured: {least:.0f} ms at half "
                "of the load. More workers do not help below that."
            )
    return tuple(why)


def _user_s(sized: Sized) -> float:
    """Processors that the frames of one user need in the role that needs most for them."""
    return max(sized.cpu_s[role] for role in ANSWERING) / sized.demand.users


def _memory_times(sized: Sized) -> float:
    return max(0.0, sized.room_gib / MEMORY_SHARE) * sized.counts[Role.MATCH] / max(sized.gallery_gib, 1e-9)


def _redis_times(sized: Sized) -> float:
    return 1000 / (sized.demand.frames_per_s * sized.parts.cpu_ms["redis"])


def _ceil(number: float) -> int:
    return int(-(-number // 1))
