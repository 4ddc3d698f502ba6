"""How throughput and latency change with the number of workers: a simulation from measured parts.

Frames of many users come to partitions by the users' hash, as in Kafka. Each worker has an equal part of the partitions
and takes what waits in batches, as many frames as a batch holds. A batch takes the processor time of the batch and of
its frames; frames share a worker's processors, the rest of a batch runs on one of them. Random arrivals are seeded.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from streams.operations.sizing.parts import Parts
from streams.roles import Role

WORKERS = (1, 2, 4)
_STAGES = (Role.EMBED, Role.MATCH, Role.SINK_REDIS)
_BATCH = 32
_WAIT_MS = 5.0
_USERS = 1_000
_FRAMES = 20_000
_HALF = 0.5

ASSUMPTIONS = (
    "Workers have processors of their own; Kafka, Redis and BigQuery run elsewhere and are fast enough.",
    f"{_USERS} users send equally many frames; partitions are shared out evenly.",
    f"A batch holds up to {_BATCH} frames; embed waits {_WAIT_MS:g} ms for more.",
    "Frames of a batch share a worker's processors without loss; what a batch costs besides runs on one.",
    "Latency is processing and waiting; the ways through Kafka are not in it.",
)
"""What the simulation takes for granted."""


@dataclass(frozen=True, slots=True)
class Scaled:
    """What so many workers of each role do: frames a second in a backlog, and latencies at half of that."""

    workers: int
    frames_per_s: float
    times_one: float
    p50_ms: float
    p99_ms: float


@cache
def _hashes(users: int) -> list[int]:
    from aiokafka.partitioner import murmur2

    return [murmur2(f"user-{number}".encode()) & 0x7FFFFFFF for number in range(users)]


def imbalance(users: int, partitions: int, workers: int) -> float:
    """The share of users that the busiest of the workers has, by that of an average one; at least 1."""
    known = min(users, 20 * _USERS)
    counts = np.bincount([one % partitions % workers for one in _hashes(known)], minlength=workers)
    return float(counts.max() * workers / known)


def table(parts: Parts, partitions: int, cores: int) -> list[Scaled]:
    """The throughput and the latencies of 1, 2 and 4 workers of each role, as :class:`Scaled`."""
    found: list[Scaled] = []
    for workers in WORKERS:
        rate = backlog_fps(parts, partitions, workers, cores)
        p50_ms, p99_ms = latencies_ms(parts, partitions, workers, cores, _HALF * rate)
        one = found[0].frames_per_s if found else rate
        found.append(Scaled(workers, round(rate, 1), round(rate / one, 2), round(p50_ms, 1), round(p99_ms, 1)))
    return found


def backlog_fps(parts: Parts, partitions: int, workers: int, cores: int) -> float:
    """Frames a second where all frames lie in Kafka from the beginning."""
    where = np.array(list(itertools.islice(itertools.cycle(_hashes(_USERS)), _FRAMES))) % partitions
    done = _through(parts, np.zeros(_FRAMES), where, workers, cores)
    return float(_FRAMES / done.max() * 1000)


def latencies_ms(parts: Parts, partitions: int, workers: int, cores: int, fps: float) -> tuple[float, float]:
    """Median and 99th percentile where so many frames a second come at random."""
    random = np.random.default_rng(0)
    came = np.cumsum(random.exponential(1000 / fps, _FRAMES))
    where = random.choice(np.array(_hashes(_USERS)), _FRAMES) % partitions
    waited = _through(parts, came, where, workers, cores) - came
    p50_ms, p99_ms = np.percentile(waited, (50, 99))
    return float(p50_ms), float(p99_ms)


def _through(parts: Parts, came: np.ndarray, where: np.ndarray, workers: int, cores: int) -> np.ndarray:
    """When each frame is through all stages, in milliseconds."""
    at = came
    for role in _STAGES:
        done = np.empty_like(at)
        for worker in range(workers):
            (mine,) = np.nonzero(where % workers == worker)
            mine = mine[np.argsort(at[mine], kind="stable")]
            wait_ms = _WAIT_MS if role is Role.EMBED else 0.0
            done[mine] = served(at[mine], parts.batch_ms(role), parts.cpu_ms[role] / cores, wait_ms)
        at = done
    return at


def served(came: Sequence[float] | np.ndarray, batch_ms: float, frame_ms: float, wait_ms: float) -> np.ndarray:
    """When one worker has done each of its frames, which came at these times, in order.

    Args:
        came: milliseconds, growing.
        batch_ms: what a batch takes beside its frames.
        frame_ms: what each of its frames takes.
        wait_ms: how long a batch that is not full waits for more frames.
    """
    done = np.empty(len(came))
    free = 0.0
    first = 0
    while first < len(came):
        full = came[first + _BATCH - 1] if first + _BATCH <= len(came) else np.inf
        begins = max(free, min(came[first] + wait_ms, max(full, came[first])))
        behind = min(int(np.searchsorted(came, begins, side="right")), first + _BATCH)
        free = begins + batch_ms + frame_ms * (behind - first)
        done[first:behind] = free
        first = behind
    return done
