"""The cameras that are not what they were, as the topic ``drift`` says last."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from schemas.events import Drift, utc_now
from streams.drift.samples import CameraKey
from streams.kafka import KafkaUnavailable
from streams.settings import Settings
from streams.topic_reader import read_events
from streams.topics import Topic, TopicMissing

_FRESH = timedelta(days=1)


def last_reports(settings: Settings) -> list[Drift]:
    """The last report of each camera and model version.

    Raises:
        KafkaUnavailable: no broker answers.
        TopicMissing: the topic has not been created.
    """
    reports = (report for _, report in read_events(settings, Topic.DRIFT, Drift))
    return list({CameraKey(one.user_id, one.camera_id, one.model_version): one for one in reports}.values())


def told(report: Drift) -> Iterator[str]:
    """What alarms, in words."""
    for one in report.measures:
        if one.alarm and one.reference is not None and one.current is not None:
            yield f"{one.name} was {one.reference:.2f} and is {one.current:.2f}"
        elif one.alarm:
            yield f"{one.name} differs ({one.effect:.2f})"


def reason_to_train(settings: Settings) -> str | None:
    """A sentence if a camera has alarmed within a day, and None otherwise."""
    try:
        reports = last_reports(settings)
    except (KafkaUnavailable, TopicMissing):
        return None
    alarms = [one for one in reports if one.alarm and one.reported_at > utc_now() - _FRESH]
    if not alarms:
        return None
    first = alarms[0]
    more = f" and {len(alarms) - 1} more cameras" if len(alarms) > 1 else ""
    return f"drift of {first.user_id}/{first.camera_id}{more}: {', '.join(told(first))}"
