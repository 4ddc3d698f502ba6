"""What Prometheus reads of a worker's present state; counts and durations are in ``observability.metrics``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from streams.roles import Role

_PARTITION = ("role", "topic", "partition")


@dataclass(frozen=True, slots=True)
class Family:
    """A gauge of a worker's state.

    Attributes:
        name: without ``facestream_``.
        key: of the rows that it is made of, its value.
        roles: which workers show it; empty: all.
    """

    name: str
    documentation: str
    key: str
    labels: Sequence[str] = ("role",)
    roles: Collection[Role] = ()


FAMILIES: Mapping[str, Sequence[Family]] = {
    "worker": (
        Family("alive", "1 while the worker does not hang.", "alive"),
        Family("ready", "1 when it has its partitions and their tables.", "ready"),
        Family("waiting_seconds", "Seconds for which work has been failing and retried; 0 if none is.", "waits_s"),
    ),
    "topics": (
        Family("topic_partitions", "Partitions of a topic that the role reads.", "partitions", ("role", "topic")),
    ),
    "partitions": (
        Family("lag_events", "Messages that wait.", "lag", _PARTITION),
        Family(
            "lag_seconds",
            "Seconds for which the oldest message that waits has waited, at most; 0 if none waits.",
            "lag_s",
            _PARTITION,
        ),
        Family(
            "commit_age_seconds",
            "Seconds since the last commit, or since messages began to wait if that is later; 0 if none wait.",
            "waits_for_commit_s",
            _PARTITION,
        ),
        Family(
            "held_back_events", "Messages behind the beginning of a transaction that is open.", "held_back", _PARTITION
        ),
        Family(
            "transaction_wait_seconds",
            "Seconds for which the partition has waited for a producer to end a transaction; 0 if none is open.",
            "waits_for_transaction_s",
            _PARTITION,
        ),
    ),
    "unreadable": (Family("unreadable_offset", "Offset at which a partition cannot be read.", "offset", _PARTITION),),
    "standbys": (
        Family(
            "standby_lag_records",
            "Changelog records that a warm copy has not read.",
            "lag",
            _PARTITION,
            [Role.MATCH],
        ),
    ),
    "gallery": (
        Family("gallery_users", "Users with templates in the shard.", "users", _PARTITION, [Role.MATCH]),
        Family(
            "gallery_templates",
            "Templates in the shard, of all model versions.",
            "templates",
            _PARTITION,
            [Role.MATCH],
        ),
    ),
    "models": (
        Family(
            "model_loaded",
            "1 for a model version that the worker has loaded, 0 for one that it needs and cannot load.",
            "loaded",
            ("role", "model_version"),
            [Role.EMBED],
        ),
        Family(
            "model_answers",
            "1 for the model version in production, which answers all users that no canary has.",
            "answers",
            ("role", "model_version"),
            [Role.EMBED],
        ),
    ),
    "disk": (
        Family("disk_free_bytes", "Free bytes of the disk with the worker's tables.", "free_bytes"),
        Family("disk_size_bytes", "Size in bytes of the disk with the worker's tables.", "size_bytes"),
    ),
}
"""The gauges by the part of the report that they are made of."""


class Gauges(Collector):
    """Gauges made from a worker's report when they are asked for; partitions that went elsewhere are gone."""

    def __init__(self, report: Callable[[], dict[str, Any]]) -> None:
        self._report = report

    def describe(self) -> list[Metric]:
        """No names beforehand: to tell them, the worker would be asked before it is there."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The gauges now."""
        report = self._report()
        yield InfoMetricFamily(
            "facestream_worker",
            "The role, name and host of the worker.",
            {"role": report["role"], "name": report["name"], "host": report["host"]},
        )
        rows = _rows(report)
        for part, families in FAMILIES.items():
            for family in families:
                yield _gauge(family, report["role"], rows[part])


def _rows(report: Mapping[str, Any]) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    models = report["models"] or {"loaded": (), "failed": (), "answers": None}
    versions = [{"model_version": one, "loaded": True} for one in models["loaded"]]
    versions += [{"model_version": one, "loaded": False} for one in models["failed"]]
    return {
        "worker": [{**report, "waits_s": report["waits"]["for_s"] if report["waits"] else 0.0}],
        "topics": report["topics"],
        "partitions": report["partitions"],
        "unreadable": report["unreadable"],
        "standbys": report["standbys"],
        "gallery": [{"topic": "gallery", **one} for one in report["gallery"]],
        "models": [*versions, {"model_version": models["answers"], "answers": models["answers"] and True}],
        "disk": [report["disk"] or {}],
    }


def _gauge(family: Family, role: str, rows: Sequence[Mapping[str, Any]]) -> Metric:
    gauge = GaugeMetricFamily(f"facestream_{family.name}", family.documentation, labels=family.labels)
    for row in rows:
        if (value := row.get(family.key)) is not None:
            gauge.add_metric([role, *(str(row[label]) for label in family.labels[1:])], float(value))
    return gauge
