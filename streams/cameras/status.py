"""How each camera is: for the health report, and as metrics for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streams.cameras.runner import CameraRunner

OUTCOMES = ("read", "delivered", "failed", "refused", "still", "dropped", "unreadable")
_LABELS = ["user", "camera"]


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """One camera now. ``read`` are all frames that were decoded, the following what became of them.

    Attributes:
        connected: it gives frames; a folder or video while it is not at its end.
        ended: it will give no more.
        last_frame_s_ago: None before the first.
        clock_ahead_s: how far its clock is ahead of this machine's; None where it tells no time.
        motion: the share of the picture that had changed in the last frame; None without a motion gate.
    """

    user: str
    camera: str
    connected: bool
    ended: bool
    problem: str | None
    read: int
    delivered: int
    failed: int
    refused: int
    still: int
    dropped: int
    unreadable: int
    reconnects: int
    last_frame_s_ago: float | None
    last_sent_s_ago: float | None
    clock_ahead_s: float | None
    motion: float | None

    @classmethod
    def of(cls, runner: CameraRunner) -> CameraStatus:
        """The status of a camera."""
        now, read = time.monotonic(), runner.read
        counts = asdict(runner.counts)
        return cls(
            user=runner.camera.user,
            camera=runner.camera.name,
            connected=not runner.ended and (read.connected or not runner.is_live),
            ended=runner.ended,
            problem=read.problem or runner.problem,
            read=read.read,
            # Overtaken by newer ones, or no room.
            dropped=read.overtaken + counts.pop("no_room"),
            reconnects=max(0, read.connections - 1),
            last_frame_s_ago=_ago(read.last_frame_at, now),
            last_sent_s_ago=_ago(runner.sent_at, now),
            clock_ahead_s=None if runner.clock.ahead_s is None else round(runner.clock.ahead_s, 3),
            motion=None if runner.gate is None else round(runner.gate.changed, 4),
            **counts,
        )


class CameraMetrics(Collector):
    """Metrics made from the statuses when they are asked for."""

    def __init__(self, statuses: Callable[[], Sequence[CameraStatus]]) -> None:
        self._statuses = statuses

    def describe(self) -> list[Metric]:
        """No names beforehand: to tell them, the cameras would be asked before they are there."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The metrics now."""
        statuses = self._statuses()
        frames = CounterMetricFamily(
            "facestream_camera_frames",
            "Frames of a camera: `read`, and what became of them: `delivered`, `failed`, `refused` (too large), "
            "`still` (left out, as nothing moved), `dropped` (newer ones were there, or no room), `unreadable`.",
            labels=[*_LABELS, "outcome"],
        )
        reconnects = CounterMetricFamily(
            "facestream_camera_reconnects", "Connections to a camera after the first.", labels=_LABELS
        )
        connected = GaugeMetricFamily("facestream_camera_connected", "1 while a camera gives frames.", labels=_LABELS)
        gauges = {
            "last_frame_s_ago": GaugeMetricFamily(
                "facestream_camera_last_frame_timestamp_seconds",
                "When the last frame of a camera came, in seconds since 1970.",
                labels=_LABELS,
            ),
            "last_sent_s_ago": GaugeMetricFamily(
                "facestream_camera_last_sent_timestamp_seconds",
                "When a frame of a camera was last sent, in seconds since 1970.",
                labels=_LABELS,
            ),
            "clock_ahead_s": GaugeMetricFamily(
                "facestream_camera_clock_ahead_seconds",
                "Seconds by which a camera's clock is ahead of this machine's, where it tells its time.",
                labels=_LABELS,
            ),
            "motion": GaugeMetricFamily(
                "facestream_camera_motion_ratio",
                "Share of the picture that had changed in the last frame, 0 to 1.",
                labels=_LABELS,
            ),
        }
        for one in statuses:
            who = [one.user, one.camera]
            for outcome in OUTCOMES:
                frames.add_metric([*who, outcome], getattr(one, outcome))
            reconnects.add_metric(who, one.reconnects)
            connected.add_metric(who, float(one.connected))
            for name, gauge in gauges.items():
                if (value := getattr(one, name)) is not None:
                    gauge.add_metric(who, time.time() - value if name.endswith("_s_ago") else value)
        yield from (frames, reconnects, connected, *gauges.values())


def _ago(at: float | None, now: float) -> float | None:
    return None if at is None else round(now - at, 3)
