"""Runs the cameras of a file in one process: a thread or two for each, one producer, health and metrics."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from prometheus_client import CollectorRegistry

from streams.cameras.config import Camera
from streams.cameras.numbers import FrameNumbers, latest_number
from streams.cameras.runner import CameraRunner
from streams.cameras.status import CameraMetrics, CameraStatus
from streams.client.errors import DeliveryFailed
from streams.client.producer import Producer
from streams.kafka.connection import admin_client
from streams.kafka.partition_counts import check_copartitioned, partition_counts
from streams.observability.health_endpoint import HealthEndpoint
from streams.observability.watchdog import HangSymptom, Watchdog
from streams.settings import Settings

log = logging.getLogger(__name__)

DELIVERY_TIMEOUT_S = 30.0
"""A frame that Kafka does not take within this time is given up: there are newer ones."""
_QUEUE_BYTES = 64 * 2**20
_LOOK_S = 0.5
_LEAVE_S = 5.0
_FLUSH_S = 8.0


def check_topics(settings: Settings) -> None:
    """Check that there is a Kafka with the topics.

    Raises:
        KafkaUnavailable: no broker answers.
        TopicsError: topics are missing or partitioned differently.
    """
    check_copartitioned(partition_counts(admin_client(settings), settings), settings)


class CameraService:
    """The cameras of a file; a context manager that runs them."""

    def __init__(self, cameras: Sequence[Camera], settings: Settings) -> None:
        """Prepare them.

        Raises:
            SourceError: a camera's file or folder is not there.
            HealthPortTaken: the port for health is in use.
        """
        self._who = {
            "role": "camera",
            "name": f"camera-{os.getpid()}",
            "host": socket.gethostname(),
            "pid": os.getpid(),
        }
        self._began = time.monotonic()
        self._stop = threading.Event()
        self._limit_s = settings.watchdog_s
        self._producer = Producer(
            settings, delivery_timeout_s=DELIVERY_TIMEOUT_S, queue_bytes=_QUEUE_BYTES, check_format=False
        )
        folder = settings.home / "cameras"
        self._runners = [self._runner(camera, folder, settings) for camera in cameras]
        registry = CollectorRegistry()
        registry.register(CameraMetrics(self.statuses))
        self._endpoint = HealthEndpoint(settings, self.report, registry)
        self._watchdog = Watchdog(self._examine, self._limit_s)
        self._threads = [
            threading.Thread(target=runner.run, args=(self._stop,), name=f"send {runner.name}", daemon=True)
            for runner in self._runners
        ]

    def _runner(self, camera: Camera, folder: Path, settings: Settings) -> CameraRunner:
        user, name = camera.user, camera.name
        numbers = FrameNumbers(folder, user, name, lambda: latest_number(settings, user, name))
        return CameraRunner(camera, self._producer, numbers)

    def __enter__(self) -> Self:
        self._endpoint.start()
        self._watchdog.start()
        log.info("health at http://%s:%d/healthz, /readyz and /metrics", *self.address)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Take no more frames, and deliver those that were taken."""
        self._stop.set()
        until = time.monotonic() + _LEAVE_S
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        try:
            self._producer.close(_FLUSH_S)
        except DeliveryFailed as failure:
            log.warning("%s", failure)
        self._watchdog.stop()
        self._endpoint.stop()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of its health."""
        return self._endpoint.address

    def statuses(self) -> list[CameraStatus]:
        """How each camera is."""
        return [CameraStatus.of(runner) for runner in self._runners]

    def report(self) -> dict[str, Any]:
        """What ``/healthz`` answers: a camera that is away makes the process neither dead nor unready."""
        symptom = self._examine()
        return self._who | {
            "time": time.time(),
            "up_s": round(time.monotonic() - self._began, 3),
            "alive": symptom is None or symptom.share <= 1,
            "ready": not self._stop.is_set(),
            "problem": str(symptom) if symptom is not None and symptom.share > 1 else None,
            "cameras": [asdict(status) for status in self.statuses()],
        }

    def wait(self, stop: threading.Event) -> int:
        """Wait for ``stop``, or until every folder and video is at its end; the exit code.

        It is 1 if something of them could not be read or delivered, or if the process cannot go on.
        """
        while not stop.wait(_LOOK_S):
            if any(runner.fatal is not None for runner in self._runners):
                return 1
            if all(runner.ended for runner in self._runners):
                break
        return 0

    @property
    def failed(self) -> bool:
        """Whether frames of folders and videos could not be read, or were not delivered."""
        bad = (runner.counts for runner in self._runners if not runner.is_live)
        return any(one.failed or one.refused or one.unreadable for one in bad)

    def _examine(self) -> HangSymptom | None:
        """The live camera whose thread has been seen at work longest ago."""
        now = time.monotonic()
        waiting = [runner for runner in self._runners if runner.is_live and not runner.ended]
        if not waiting:
            return None
        longest = min(waiting, key=lambda one: one.turned_at)
        age_s = now - longest.turned_at
        return HangSymptom(f"{longest.name} has not been read", age_s, age_s / self._limit_s)
