"""The cameras that have drifted, by their last reports on the topic ``drift``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas import codec
from schemas.clock import utc_now
from schemas.drift import Drift
from schemas.errors import CodecError
from streams.drift.samples import CameraKey
from streams.kafka.connection import KafkaUnavailable
from streams.kafka.log_reader import LogReader
from streams.kafka.log_tail import LogTail
from streams.kafka.messages import Message
from streams.kafka.topics import Topic, TopicMissing
from streams.settings import Settings

ENOUGH = 20_000
"""Most reports to read, from the newest back: each camera gives one every 500 frames."""
_FRESH = timedelta(days=1)
_CLOCKS_DIFFER = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class LastReports:
    """The last report of each camera and model version.

    Attributes:
        reports: of cameras that have reported since ``since``.
        since: None: all reports that are kept were read.
    """

    reports: list[Drift]
    since: datetime | None


def last_reports(settings: Settings, enough: int = ENOUGH) -> LastReports:
    """Read the newest reports, the same number from each partition.

    Raises:
        KafkaUnavailable: no broker answers.
        TopicMissing: the topic has not been created.
    """
    found: dict[CameraKey, Drift] = {}
    since: datetime | None = None
    with LogReader(settings, Topic.DRIFT) as log:
        bounds = log.bounds()
        ranges = log.last(max(1, enough // max(1, len(bounds))))
        cut = {one.partition for one in ranges if one.first_offset > bounds[one.partition][0]}
        for message in log.messages(ranges):
            if message.source.partition in cut:
                cut.remove(message.source.partition)
                at = codec.from_micros(1000 * message.timestamp_ms)
                since = at if since is None else max(since, at)
            if (report := _report(message)) is not None:
                found[_camera(report)] = report
    return LastReports(list(found.values()), since)


def alarm_texts(report: Drift) -> Iterator[str]:
    """The measures that alarm, in words."""
    for one in report.measures:
        if one.alarm and one.reference is not None and one.current is not None:
            yield f"{one.name} was {one.reference:.2f} and is {one.current:.2f}"
        elif one.alarm:
            yield f"{one.name} differs ({one.effect:.2f})"


class CameraAlarms:
    """Gives a reason to train: a camera that has alarmed within a day. Each report is read once."""

    def __init__(self, settings: Settings) -> None:
        """Connects at its first call."""
        self._alarms: dict[CameraKey, Drift] = {}
        self._tail = LogTail(settings, Topic.DRIFT, self._alarms.clear, lambda: utc_now() - _FRESH - _CLOCKS_DIFFER)

    def __call__(self) -> str | None:
        """A sentence if a camera alarms; None if none does, or Kafka cannot be asked."""
        try:
            for message in self._tail.more():
                if (report := _report(message)) is not None:
                    self._alarms.pop(_camera(report), None)
                    if report.alarm:
                        self._alarms[_camera(report)] = report
        except (KafkaUnavailable, TopicMissing):
            return None
        alarms = [one for one in self._alarms.values() if one.reported_at > utc_now() - _FRESH]
        if not alarms:
            return None
        first = alarms[0]
        more = f" and {len(alarms) - 1} more cameras" if len(alarms) > 1 else ""
        return f"drift of {first.user_id}/{first.camera_id}{more}: {', '.join(alarm_texts(first))}"

    def close(self) -> None:
        """Disconnect."""
        self._tail.close()


def _report(message: Message) -> Drift | None:
    try:
        return codec.decode(message.value, Drift)
    except CodecError:
        return None


def _camera(report: Drift) -> CameraKey:
    return CameraKey(report.user_id, report.camera_id, report.model_version)
