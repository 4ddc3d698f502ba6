"""What the workers count and time, for Prometheus: each step of the way has a histogram of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from time import perf_counter

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, Metric, disable_created_metrics
from prometheus_client.registry import RestrictedRegistry

from streams.roles import Role

disable_created_metrics()  # type: ignore[no-untyped-call]

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

EVENTS = Counter("facestream_events", "Events that had their effect.", ["role"])
BATCH = Histogram("facestream_batch_events", "Events in a batch.", ["role"], buckets=[2**power for power in range(10)])
RETRIES = Counter("facestream_retries", "Batches that failed and were tried again.", ["role"])
SHED = Counter("facestream_shed_frames", "Frames that waited too long and were not looked at.")
DEAD_LETTERS = Counter("facestream_dead_letters", "Messages sent to the dead letters.", ["role", "reason"])

STEPS: Mapping[str, Histogram] = {
    step: Histogram(f"facestream_{step}_seconds", what, ["role"], buckets=_SECONDS)
    for step, what in {
        "wait": "From the broker's time stamp of an event to the worker that takes it.",
        "decode": "Decoding of one picture.",
        "detect": "Detection of the faces of one picture.",
        "align": "Alignment of the faces of one picture.",
        "embed": "Embedding of the faces of one picture.",
        "match": "Enrolment or matching of one embedding.",
        "search": "Search of one shard for the probes of one batch.",
        "deliver": "Delivery of one batch's outputs.",
    }.items()
}
"""Durations by the name of the step."""
STEPS_OF: Mapping[Role, Sequence[str]] = {
    Role.EMBED: ("wait", "decode", "detect", "align", "embed", "deliver"),
    Role.MATCH: ("wait", "match", "search", "deliver"),
    Role.SINK_REDIS: ("wait", "deliver"),
    Role.SINK_BIGQUERY: ("wait", "deliver"),
    Role.DRIFT: ("wait", "deliver"),
    Role.RETRAIN: (),
    Role.SEARCH: ("wait", "deliver"),
    Role.SIGHTINGS: ("wait", "deliver"),
    Role.HOOKS: ("wait", "deliver"),
}
"""The steps that a worker of each role takes."""


class ShownMetrics(CollectorRegistry):
    """The metrics that a worker shows: all that have a value, so none of the steps that other roles take."""

    def __init__(self, role: Role) -> None:
        """Give the role's own metrics their first value, so that they are there from the start."""
        super().__init__()
        EVENTS.labels(role)
        RETRIES.labels(role)
        BATCH.labels(role)
        for step in STEPS_OF[role]:
            _of_role(role, step)

    def collect(self) -> Iterator[Metric]:
        """What the process has counted."""
        return (metric for metric in REGISTRY.collect() if metric.samples)

    def restricted_registry(self, names: Iterable[str]) -> RestrictedRegistry:
        """The metrics of these names, for ``/metrics?name[]=…``."""
        return REGISTRY.restricted_registry(names)


def observe(role: str, step: str, seconds: float) -> None:
    """Add one duration; one that a clock set back made negative counts as none."""
    _of_role(role, step).observe(max(0.0, seconds))


@contextmanager
def timed(role: str, step: str) -> Iterator[None]:
    """Time a block that succeeds."""
    began = perf_counter()
    yield
    observe(role, step, perf_counter() - began)


@cache
def _of_role(role: str, step: str) -> Histogram:
    """Looked up once: it is for every event."""
    return STEPS[step].labels(role)
