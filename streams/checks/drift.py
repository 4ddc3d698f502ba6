"""Cameras that are not what they were: the last report of each camera and model version."""

from __future__ import annotations

from collections.abc import Iterator

from schemas import codec
from schemas.errors import CodecError
from schemas.events import Drift
from streams.checks.finding import Finding, ok, warn
from streams.drift_samples import CameraKey
from streams.kafka import KafkaUnavailable
from streams.settings import Settings
from streams.topic_reader import read_topic
from streams.topics import Topic, TopicMissing


def check(settings: Settings) -> Iterator[Finding]:
    """Read the reports; nothing is said where there are none, or where the check of Kafka says that it is away."""
    last: dict[CameraKey, Drift] = {}
    try:
        for message in read_topic(settings, Topic.DRIFT):
            try:
                report = codec.decode(message.value(), Drift)
            except CodecError:
                continue
            last[CameraKey(report.user_id, report.camera_id, report.model_version)] = report
    except (KafkaUnavailable, TopicMissing):
        return
    alarms = [report for report in last.values() if report.alarm]
    for report in alarms:
        yield warn(
            f"drift of {report.user_id}/{report.camera_id}",
            f"{', '.join(_told(report))}; {report.model_version}, at {report.reported_at:%Y-%m-%d %H:%M} UTC",
            "look through the camera: its lens, its light, where it points, how it compresses",
        )
    if last and not alarms:
        yield ok("drift", f"{len(last)} cameras are as they were")


def _told(report: Drift) -> Iterator[str]:
    for one in report.measures:
        if one.alarm and one.reference is not None and one.current is not None:
            yield f"{one.name} was {one.reference:.2f} and is {one.current:.2f}"
        elif one.alarm:
            yield f"{one.name} differs ({one.effect:.2f})"
