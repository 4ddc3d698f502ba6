"""The Prometheus metrics of drift, by camera and model version."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from prometheus_client import Gauge

from models.drift.measures import LIMITS, Measure
from streams.observability.metrics import shown_by
from streams.roles import Role

Labels = tuple[str, str, str]
"""User, camera and model version."""

_CAMERAS = 200
"""Most cameras with metrics of their own in one worker; every camera has reports."""
_NAMES = ("user", "camera", "model_version")


def _gauge(name: str, what: str) -> Gauge:
    return shown_by([Role.DRIFT], Gauge(f"facestream_drift_{name}", what, [*_NAMES, "measure"]))


_EFFECT = _gauge("effect", "How far the measure is from its reference.")
_CURRENT = _gauge("current", "Mean of the measure over the last faces.")
_ALARM = _gauge("alarm", "1 while the measure alarms.")
_shown: set[Labels] = set()


def show(camera: Labels, measures: Iterable[Measure], alarms: Collection[str]) -> None:
    """Show the last comparison of a camera."""
    if camera not in _shown and len(_shown) >= _CAMERAS:
        return
    _shown.add(camera)
    for one in measures:
        _EFFECT.labels(*camera, one.name).set(one.effect)
        _ALARM.labels(*camera, one.name).set(one.name in alarms)
        if one.current is not None:
            _CURRENT.labels(*camera, one.name).set(one.current)


def forget(camera: Labels) -> None:
    """Remove the metrics of a camera that another worker has now."""
    if camera in _shown:
        _shown.remove(camera)
        for gauge in (_EFFECT, _CURRENT, _ALARM):
            for name in LIMITS:
                gauge.remove(*camera, name)
