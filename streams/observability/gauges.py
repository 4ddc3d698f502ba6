"""What Prometheus reads of a worker's present state; counts and durations are in ``observability.metrics``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector


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
        role = report["role"]
        yield InfoMetricFamily(
            "facestream_worker",
            "The role, name and host of the worker.",
            {"role": role, "name": report["name"], "host": report["host"]},
        )
        for name, what in (
            ("alive", "1 while the worker does not hang."),
            ("ready", "1 when it has its partitions and their tables."),
        ):
            gauge = GaugeMetricFamily(f"facestream_{name}", what, labels=["role"])
            gauge.add_metric([role], float(report[name]))
            yield gauge
        waits = GaugeMetricFamily(
            "facestream_waiting_seconds",
            "Seconds for which work has been failing and retried; 0 if none is.",
            labels=["role"],
        )
        waits.add_metric([role], report["waits"]["for_s"] if report["waits"] else 0.0)
        yield waits
        yield from _by_partition(
            report["partitions"],
            role,
            lag=("lag_events", "Messages that wait."),
            waits_for_commit_s=(
                "commit_age_seconds",
                "Seconds since the last commit, or since messages began to wait if that is later; 0 if none wait.",
            ),
            held_back=("held_back_events", "Messages behind the beginning of a transaction that is open."),
            waits_for_transaction_s=(
                "transaction_wait_seconds",
                "Seconds for which the partition has waited for a producer to end a transaction; 0 if none is open.",
            ),
        )
        yield from _by_partition(
            report["unreadable"], role, offset=("unreadable_offset", "Offset at which a partition cannot be read.")
        )
        yield from _by_partition(
            report["standbys"], role, lag=("standby_lag_records", "Changelog records that a warm copy has not read.")
        )
        gallery = [{"topic": "gallery", **one} for one in report["gallery"]]
        yield from _by_partition(
            gallery,
            role,
            users=("gallery_users", "Users with templates in the shard."),
            templates=("gallery_templates", "Templates in the shard, of all model versions."),
        )


def _by_partition(rows: list[dict[str, Any]], role: str, **named: tuple[str, str]) -> Iterator[Metric]:
    for key, (name, what) in named.items():
        gauge = GaugeMetricFamily(f"facestream_{name}", what, labels=["role", "topic", "partition"])
        for row in rows:
            if row[key] is not None:
                gauge.add_metric([role, row["topic"], str(row["partition"])], row[key])
        yield gauge
