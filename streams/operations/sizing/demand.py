"""What a cluster is wanted for, and what is assumed where nothing was measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True, slots=True)
class Demand:
    """What is wanted of a cluster.

    Attributes:
        cameras: how many.
        fps: frames a second of each.
        subjects: enrolled people in all galleries together.
        users: owners of galleries; cameras and subjects are spread evenly over them.
        templates_per_subject: enrolment photos of each.
        retention_days: how long Kafka keeps frames and what becomes of them.
        result_ttl_s: how long Redis keeps an answer.
        p99_ms: 99 of 100 answers are wanted within so many milliseconds; None: no wish.
        cores: processors of a worker; as of the machine of the measurements.
        worker_gib: memory of a worker.
        replicas: of each topic.
        standbys: copies of each gallery shard.
    """

    cameras: int
    fps: float
    subjects: float
    users: int
    templates_per_subject: float = 1.0
    retention_days: float = 7.0
    result_ttl_s: float = 86_400.0
    p99_ms: float | None = None
    cores: int = 2
    worker_gib: float = 8.0
    replicas: int = 3
    standbys: int = 1

    @property
    def frames_per_s(self) -> float:
        """Of all cameras."""
        return self.cameras * self.fps

    @property
    def templates(self) -> float:
        """In all galleries."""
        return self.subjects * self.templates_per_subject

    def times(self, factor: int) -> Self:
        """So many times as many cameras, subjects and users."""
        return replace(
            self,
            cameras=self.cameras * factor,
            subjects=self.subjects * factor,
            users=self.users * factor,
        )


LOAD = 0.6
"""Share of a worker's processors that is used when all is as expected; the rest is for peaks and takeovers."""
PEAK_LOAD = 0.8
"""The same of the worker that has the most users."""
MAX_PARTITIONS = 1024
"""As the setting FACESTREAM_PARTITIONS has it."""
PER_WORKER = 2
"""Fewest partitions for each worker of the most numerous role, so that it can grow to twice as many."""
MIN_PARTITIONS = 8
MEMORY_SHARE = 0.8
"""Share of a worker's memory that is planned for."""
BROKER_CORES = 4
BROKER_DISK_TB = 4.0
KEPT_LIVE = 1_000
"""Answers in each user's live stream, as FACESTREAM_LIVE_STREAM_LENGTH has it by default."""
FACTOR = 10
"""How much larger the other cluster is that a plan looks at."""

ASSUMPTIONS = (
    "Frames are like the measured ones: 640×480 JPEG in the message, one face, model accurate, mode identify.",
    "A processor is as fast as the measured one, and a worker with several uses all of them.",
    f"Workers use {LOAD:.0%} of their processors, the busiest {PEAK_LOAD:.0%}, and {MEMORY_SHARE:.0%} of their memory.",
    "Cameras and subjects are spread evenly over users, and users over partitions as their hash has it.",
    f"A broker has {BROKER_CORES} cores and {BROKER_DISK_TB:g} TB; a replica costs a broker as much as the first copy.",
    "Enrolment photos, searches over all users, drift, training and the network between machines are not counted.",
    "Waiting grows with the load u as u / (1 - u), from what was measured at half of the load.",
)
"""What a plan takes for granted, in sentences."""
