"""What the workers count and time, for Prometheus: each step of the way has a histogram of its own.

Of a metric that not every process shows, :data:`SHOWN_BY` says which do. docs/reference/metrics.md lists all metrics.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from time import perf_counter
from typing import TypeVar

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, Metric, disable_created_metrics
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import RestrictedRegistry

from schemas.reasons import Reason
from streams.roles import Role

disable_created_metrics()  # type: ignore[no-untyped-call]

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

GATEWAY = "gateway"
"""The gateway, among the roles that show a metric."""
SHOWN_BY: dict[str, Collection[str]] = {}
"""The roles that show a metric, by its name; all processes show the others."""
AnyMetric = TypeVar("AnyMetric", bound=MetricWrapperBase)


def shown_by(roles: Collection[str], metric: AnyMetric) -> AnyMetric:
    """Have only these roles show a metric, whatever else their processes have imported."""
    SHOWN_BY[_name(metric)] = roles
    return metric


def _name(metric: MetricWrapperBase) -> str:
    """Without the suffixes that Prometheus adds."""
    return next(iter(metric.describe())).name


_WORKERS = tuple(Role)
LETTERING = (Role.EMBED, Role.MATCH, Role.SINK_REDIS, Role.SINK_BIGQUERY, Role.SEARCH, Role.RETRAIN)
"""The roles that make dead letters; what others cannot read these report."""
_LETTER_REASONS = (
    *(Reason.NOT_AN_EVENT, Reason.UNKNOWN_SCHEMA, Reason.MALFORMED_EVENT, Reason.NO_KEY, Reason.KEY_MISMATCH),
    *(Reason.INVALID_ID, Reason.UNKNOWN_MODEL, Reason.FAILED),
)
_ERASING = tuple(role for role in Role if role not in (Role.EMBED, Role.RETRAIN))

EVENTS = shown_by(_WORKERS, Counter("facestream_events", "Events that had their effect.", ["role"]))
BATCH = shown_by(
    _WORKERS,
    Histogram("facestream_batch_events", "Events in a batch.", ["role"], buckets=[2**power for power in range(10)]),
)
RETRIES = shown_by(_WORKERS, Counter("facestream_retries", "Batches that failed and were tried again.", ["role"]))
REBALANCES = shown_by(
    _WORKERS, Counter("facestream_rebalances", "Times at which the worker's partitions were given out anew.", ["role"])
)
SHED = shown_by([Role.EMBED], Counter("facestream_shed_frames", "Frames that waited too long and were not looked at."))
DEAD_LETTERS = shown_by(
    LETTERING, Counter("facestream_dead_letters", "Messages sent to the dead letters.", ["role", "reason"])
)
ERASURES = shown_by(
    _ERASING, Counter("facestream_erasures", "Erasures that the role has done, in one partition each.", ["role"])
)

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
STEPS_OF: Mapping[str, Sequence[str]] = {
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
for _step, _histogram in STEPS.items():
    shown_by([role for role, steps in STEPS_OF.items() if _step in steps], _histogram)


class ShownMetrics(CollectorRegistry):
    """The metrics that a process shows: all of its role that have a value."""

    def __init__(self, role: str) -> None:
        """Give the role's own metrics their first value, so that they are there from the start.

        Args:
            role: of the worker, or ``GATEWAY``.
        """
        super().__init__()
        self._role = role
        for metric in (EVENTS, RETRIES, REBALANCES, BATCH, ERASURES):
            if role in SHOWN_BY[_name(metric)]:
                metric.labels(role)
        if role in LETTERING:
            for reason in _LETTER_REASONS:
                DEAD_LETTERS.labels(role, reason)
        for step in STEPS_OF.get(role, ()):
            _of_role(role, step)

    def collect(self) -> Iterator[Metric]:
        """What the process has counted."""
        return (one for one in REGISTRY.collect() if one.samples and self._shows(one.name))

    def restricted_registry(self, names: Iterable[str]) -> RestrictedRegistry:
        """The metrics of these names, for ``/metrics?name[]=…``."""
        return REGISTRY.restricted_registry(names)

    def _shows(self, name: str) -> bool:
        return name not in SHOWN_BY or self._role in SHOWN_BY[name]


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
