"""Finds cameras that have drifted, from the last report of each camera and model version."""

from __future__ import annotations

from collections.abc import Iterator

from streams.drift.alarms import alarm_texts, last_reports
from streams.kafka.connection import KafkaUnavailable
from streams.kafka.topics import TopicMissing
from streams.operations.doctor.finding import Finding, ok, warn
from streams.operations.doctor.remedies import Remedy
from streams.settings import Settings
from streams.text import pluralize


def check(settings: Settings) -> Iterator[Finding]:
    """Read the reports; without reports, or without Kafka, which has its own check, there is no finding."""
    try:
        last = last_reports(settings)
    except (KafkaUnavailable, TopicMissing):
        return
    reports = last.reports
    alarms = [report for report in reports if report.alarm]
    for report in alarms:
        yield warn(
            f"drift of {report.user_id}/{report.camera_id}",
            f"{', '.join(alarm_texts(report))}; {report.model_version}, at {report.reported_at:%Y-%m-%d %H:%M} UTC",
            Remedy.CAMERA(),
        )
    if reports and not alarms:
        seen = "" if last.since is None else f", of those that have reported since {last.since:%Y-%m-%d %H:%M} UTC"
        yield ok("drift", pluralize(len(reports), "camera is as it was", "cameras are as they were") + seen)
