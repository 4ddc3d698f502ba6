"""The size of a cluster: partitions, workers, memory, disk, and what limits it first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from streams.operations.sizing import limits
from streams.operations.sizing.demand import (
    BROKER_CORES,
    BROKER_DISK_TB,
    FACTOR,
    KEPT_LIVE,
    LOAD,
    MAX_PARTITIONS,
    MEMORY_SHARE,
    MIN_PARTITIONS,
    PEAK_LOAD,
    PER_WORKER,
    Demand,
)
from streams.operations.sizing.limits import Limit
from streams.operations.sizing.parts import Parts
from streams.operations.sizing.scaling import imbalance
from streams.roles import ANSWERING, Role

_DAY_S = 86_400
_READ_BY = {"kafka frames": 1, "kafka embeddings": 2, "kafka matches": 3}
"""How many consumer groups read each topic: see :mod:`streams.topology`."""


@dataclass(frozen=True, slots=True)
class Workers:
    """The workers of a role: how many, of how many processors and GiB, and the share of the processors that is used."""

    count: int
    cores: int
    memory_gib: float
    load: float


@dataclass(frozen=True, slots=True)
class Kafka:
    """What Kafka has to do; the disk is that of all replicas."""

    brokers: int
    write_mb_per_s: float
    read_mb_per_s: float
    disk_tb: float


@dataclass(frozen=True, slots=True)
class BigQuery:
    """The rows of matches, as they are sent."""

    rows_per_day: int
    gb_per_day: float
    gb_in_retention: float


@dataclass(frozen=True, slots=True)
class Latency:
    """Expected milliseconds from camera to answer, and of the search within."""

    p50_ms: float
    p99_ms: float
    search_ms: float


@dataclass(frozen=True, slots=True)
class Plan:
    """The cluster for a demand.

    Attributes:
        frames_per_s: of all cameras.
        impossible: why it cannot be; empty: it can.
        partitions: of every topic, from the beginning: they cannot change later.
        workers: by role.
        memory_gib: of all workers and Redis.
        gallery_gib: of that, all templates with their warm copies.
        redis_gib: of that, the answers.
        gallery_disk_gb: of the workers' tables, with the copies.
        recovery_s: until the largest shard answers on a new machine, from its own disk.
        kafka, bigquery, latency: see there.
        limits: what the cluster could do of each kind, the least first.
    """

    frames_per_s: float
    impossible: tuple[str, ...]
    partitions: int
    workers: Mapping[str, Workers]
    memory_gib: float
    gallery_gib: float
    redis_gib: float
    gallery_disk_gb: float
    recovery_s: Mapping[str, float]
    kafka: Kafka
    bigquery: BigQuery
    latency: Latency
    limits: tuple[Limit, ...]


def plan(demand: Demand, parts: Parts) -> Plan:
    """The cluster for a demand; where that is impossible, the plan says why and what it would take nevertheless."""
    search_ms = parts.search_ms_per_million * demand.templates / demand.users / 1e6
    load = _load(demand, parts, search_ms)
    cpu_s = {role: demand.frames_per_s * _frame_ms(role, parts, search_ms) / 1000 for role in ANSWERING}
    gallery_gib = demand.templates * parts.template_bytes * (1 + demand.standbys) / 2**30
    least = {role: max(1, math.ceil(used / (demand.cores * load))) for role, used in cpu_s.items()}
    room_gib = demand.worker_gib * MEMORY_SHARE - parts.memory_mib[Role.MATCH] / 1024
    if room_gib > 0:
        least[Role.MATCH] = max(least[Role.MATCH], 1 + demand.standbys, math.ceil(gallery_gib / room_gib))
    partitions, counts = _spread(demand, least, cpu_s, load)
    workers = {
        str(role): Workers(
            counts[role],
            demand.cores,
            round(parts.memory_mib[role] / 1024 + (gallery_gib / counts[role] if role is Role.MATCH else 0), 2),
            round(cpu_s[role] / (counts[role] * demand.cores), 2),
        )
        for role in ANSWERING
    }
    redis_gib = _redis_bytes(demand, parts) / 2**30
    shard = demand.templates / partitions
    sized = limits.Sized(demand, parts, search_ms, cpu_s, counts, partitions, gallery_gib, room_gib)
    busiest = max(cpu_s[role] / (counts[role] * demand.cores) for role in ANSWERING)
    return Plan(
        frames_per_s=demand.frames_per_s,
        impossible=limits.obstacles(sized),
        partitions=partitions,
        workers=workers,
        memory_gib=round(redis_gib + sum(one.count * one.memory_gib for one in workers.values()), 1),
        gallery_gib=round(gallery_gib, 2),
        redis_gib=round(redis_gib, 2),
        gallery_disk_gb=round(demand.templates * parts.template_disk_bytes * (1 + demand.standbys) / 1e9, 2),
        recovery_s={how: round(shard * micros / 1e6, 1) for how, micros in parts.recovery_us.items()},
        kafka=_kafka(demand, parts),
        bigquery=_bigquery(demand, parts),
        latency=_latency(parts, busiest, search_ms),
        limits=limits.found(sized),
    )


def ten_times(demand: Demand, parts: Parts) -> Plan:
    """The plan for ten times as many cameras, subjects and users."""
    return plan(demand.times(FACTOR), parts)


def _frame_ms(role: Role, parts: Parts, search_ms: float) -> float:
    return parts.cpu_ms[role] + (search_ms if role is Role.MATCH else 0.0)


def _load(demand: Demand, parts: Parts, search_ms: float) -> float:
    """The share of the processors that may be used: less where answers are wanted sooner."""
    if demand.p99_ms is None:
        return LOAD
    times_half = max(0.0, demand.p99_ms - search_ms) / parts.half_load_ms["p99"]
    return min(LOAD, max(times_half, limits.FASTEST) / (1 + max(times_half, limits.FASTEST)))


def _spread(
    demand: Demand, least: Mapping[Role, int], cpu_s: Mapping[Role, float], load: float
) -> tuple[int, dict[Role, int]]:
    """Partitions, and workers of each role, so many that the one with the most users is not overloaded either.

    More workers do not help where a single user is too much for one.
    """
    most = max(least.values())
    partitions = max(MIN_PARTITIONS, 2 ** math.ceil(math.log2(PER_WORKER * most)))
    partitions = min(partitions, MAX_PARTITIONS)
    counts, most_used = {}, demand.cores * max(load, PEAK_LOAD)
    for role, count in least.items():
        spreads = cpu_s[role] / demand.users <= most_used
        while spreads and count < partitions and _busiest(demand, partitions, count, cpu_s[role]) > most_used:
            count += 1
        counts[role] = count
    return partitions, counts


def _busiest(demand: Demand, partitions: int, workers: int, cpu_s: float) -> float:
    """Processors that the worker with the most users needs."""
    return cpu_s / workers * imbalance(demand.users, partitions, workers)


def _redis_bytes(demand: Demand, parts: Parts) -> float:
    answer = parts.frame_bytes["redis answer"]
    live = min(demand.frames_per_s * demand.result_ttl_s, KEPT_LIVE * demand.users)
    return demand.frames_per_s * demand.result_ttl_s * answer + live * (parts.frame_bytes["redis"] - answer)


def _kafka(demand: Demand, parts: Parts) -> Kafka:
    write = demand.frames_per_s * sum(parts.frame_bytes[topic] for topic in _READ_BY)
    read = demand.frames_per_s * sum(parts.frame_bytes[topic] * groups for topic, groups in _READ_BY.items())
    gallery = demand.templates * parts.template_disk_bytes
    disk_tb = demand.replicas * (write * demand.retention_days * _DAY_S + gallery) / 1e12
    cores = demand.frames_per_s * parts.cpu_ms["kafka"] / 1000 * demand.replicas
    brokers = max(demand.replicas, math.ceil(cores / (BROKER_CORES * LOAD)), math.ceil(disk_tb / BROKER_DISK_TB))
    return Kafka(brokers, round(write / 1e6, 2), round(read / 1e6, 2), round(disk_tb, 3))


def _bigquery(demand: Demand, parts: Parts) -> BigQuery:
    rows = demand.frames_per_s * _DAY_S
    gb_per_day = rows * parts.frame_bytes["bigquery matches"] / 1e9
    return BigQuery(round(rows), round(gb_per_day, 2), round(gb_per_day * demand.retention_days, 1))


def _latency(parts: Parts, load: float, search_ms: float) -> Latency:
    """What was measured at half of the load, with waiting at this one; never less than measured."""
    used = min(load, 0.95)
    waiting = max(1.0, used / (1 - used))
    p50_ms, p99_ms = (parts.half_load_ms[name] * waiting + search_ms for name in ("p50", "p99"))
    return Latency(round(p50_ms, 1), round(p99_ms, 1), round(search_ms, 3))
