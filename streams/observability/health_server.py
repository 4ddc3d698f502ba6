"""What a worker tells of itself over HTTP, from threads of its own: it answers while the worker hangs.

``/healthz`` is 200 while the worker lives and 503 when it hangs (soon the watchdog ends it), ``/readyz`` is 200 when it
also has its partitions and their tables; both with the same JSON. ``/metrics`` is for Prometheus.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from prometheus_client import REGISTRY

from streams.kafka.commit_metadata import ShardSize
from streams.kafka.consumer_groups import client_id
from streams.kafka.messages import TopicPartition
from streams.observability.gauges import Gauges
from streams.observability.health_endpoint import HealthEndpoint
from streams.observability.heartbeat import ConsumerStatus, RetriedWork, WorkerHeartbeat
from streams.observability.lag_probe import LagProbe
from streams.observability.metrics import ShownMetrics
from streams.observability.watchdog import HangDetector, HangSymptom, Watchdog
from streams.roles import Role
from streams.settings import Settings

log = logging.getLogger(__name__)

_SICK = 0.5
"""The worker reports that it is not alive after this share of the time that something may last."""
_PROBE_S = 5.0
_NONE = HangSymptom("", 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class MonitoredWorker:
    """The worker whose health it is; ``sizes`` are those of its gallery shards by partition number.

    ``models`` is how its model versions stand, None with a role that has none.
    """

    heartbeat: WorkerHeartbeat
    facts: Callable[[], ConsumerStatus]
    sizes: Callable[[], Mapping[int, ShardSize]] = dict
    models: Callable[[], Mapping[str, Any]] | None = None


class HealthServer:
    """The health of this process's worker; a context manager that serves it and ends a worker that hangs."""

    def __init__(self, role: Role, name: str, settings: Settings) -> None:
        """Take the port at once, so that the worker can tell it to its consumer group."""
        self._who = {"role": str(role), "name": name, "host": socket.gethostname(), "pid": os.getpid()}
        self.settings = settings
        self._began = time.monotonic()
        self._patient = MonitoredWorker(WorkerHeartbeat(role), lambda: ConsumerStatus(False, frozenset()))
        limit_s = settings.watchdog_s
        self._limit_s = limit_s
        self._folder = settings.worker_dir(name).absolute()
        self._judge = HangDetector(self._patient.heartbeat, limit_s)
        self._symptom: HangSymptom | None = None
        self._watchdog = Watchdog(self._examine, limit_s)
        self._gauges = Gauges(self.report)
        self._endpoint = HealthEndpoint(settings, self.report, ShownMetrics(role))
        every_s = min(_PROBE_S, limit_s / 8)
        self._probe = LagProbe(role, settings, lambda: self._patient.facts(), every_s, self.client_id)

    @property
    def name(self) -> str:
        """The worker's name, such as ``match-0``."""
        return str(self._who["name"])

    @property
    def address(self) -> tuple[str, int]:
        """Host and port where it is served."""
        return self._endpoint.address

    @property
    def client_id(self) -> str:
        """The client id, from which the consumer group knows the worker and the address of its health server."""
        return client_id(str(self._who["name"]), str(self._who["host"]), self.address[1])

    def __enter__(self) -> Self:
        self._endpoint.start()
        self._probe.start()
        self._watchdog.start()
        REGISTRY.register(self._gauges)
        log.info("%s: health at http://%s:%d/healthz, /readyz and /metrics", self._who["name"], *self.address)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        REGISTRY.unregister(self._gauges)
        self._watchdog.stop()
        self._probe.stop()
        self._endpoint.stop()

    def follow(self, patient: MonitoredWorker) -> None:
        """Report on this worker from now on; until then, the server only says that it is starting."""
        self._judge = HangDetector(patient.heartbeat, self._limit_s)
        self._patient = patient

    def unfetched(self) -> Collection[TopicPartition]:
        """Partitions of which the broker has more than came."""
        return self._judge.unfetched

    def report(self) -> dict[str, Any]:
        """What ``/healthz`` answers."""
        now = time.monotonic()
        patient, symptom, states = self._patient, self._symptom, self._probe.states()
        heartbeat, facts, sizes = patient.heartbeat, patient.facts(), self._probe.sizes() | dict(patient.sizes())
        partitions = []
        for source in sorted(facts.assigned, key=lambda one: (one.topic, one.partition)):
            state, committed_at = (states or {}).get(source), heartbeat.committed_at.get(source)
            waits, done_to_ms = self._probe.waiting_since(source), heartbeat.done_to_ms.get(source)
            waits_s = None if waits is None else now - waits
            partitions.append(
                {
                    "topic": source.topic,
                    "partition": source.partition,
                    "lag": state.lag if state is not None else None,
                    "lag_s": None if state is None else _lag_s(waits_s, done_to_ms),
                    "committed_s_ago": _ago(committed_at, now),
                    "waits_for_commit_s": 0.0 if waits is None else round(now - max(waits, committed_at or 0), 3),
                    "held_back": state.held_back if state is not None else None,
                    "waits_for_transaction_s": _ago(self._probe.held_since(source), now) or 0.0,
                }
            )
        numbers = {source.partition for source in facts.assigned}
        trouble = self._probe.topics.trouble
        problem = str(symptom) if symptom is not None and symptom.share > _SICK else None
        return self._who | {
            "time": time.time(),
            "up_s": round(now - self._began, 3),
            "alive": symptom is None or symptom.share <= _SICK,
            "ready": facts.ready and (trouble is None or trouble.ready),
            "spare": self._probe.topics.spare,
            "problem": problem or (trouble.text if trouble is not None else None),
            "kafka_answers": states is not None,
            "loop_turned_s_ago": _ago(heartbeat.loop_turned_at, now),
            "batch_in_hand_s": _ago(heartbeat.busy_since, now),
            "waits": _waits(heartbeat.waiting or heartbeat.erasing, now),
            "partitions": partitions,
            "unreadable": [
                {
                    "topic": one.source.topic,
                    "partition": one.source.partition,
                    "offset": one.offset,
                    "end_offset": one.end,
                    "problem": one.problem,
                    "remedy": one.remedy,
                }
                for one in list(heartbeat.unreadable.values())
            ],
            "standbys": [
                {"topic": source.topic, "partition": source.partition, "lag": lag}
                for source, lag in sorted(self._probe.standby_lags().items(), key=lambda one: one[0].partition)
            ],
            "gallery": [
                {"partition": number, "users": size.users, "templates": size.templates}
                for number, size in sorted(sizes.items())
                if number in numbers
            ],
            "models": None if patient.models is None else dict(patient.models()),
            "topics": [{"topic": name, "partitions": count} for name, count in self._probe.topics.partitions.items()],
            "disk": _disk(self._folder),
        }

    def _examine(self) -> HangSymptom | None:
        now = time.monotonic()
        found = self._judge.worst(now, self._patient.facts(), self._probe.states())
        trouble = self._probe.topics.trouble
        if trouble is not None and trouble.begins_anew and self._probe.states() is not None:
            age_s = now - trouble.since
            share = 2.0 if trouble.at_once else age_s / self._limit_s
            found = max(
                (HangSymptom(trouble.text, age_s, share, hangs=False), found or _NONE), key=lambda one: one.share
            )
        self._symptom = found
        return found


def _waits(waiting: RetriedWork | None, now: float) -> dict[str, Any] | None:
    """What work is tried again and again for."""
    if waiting is None:
        return None
    return {"for": waiting.what, "for_s": round(now - waiting.since, 3), "error": waiting.error}


def _lag_s(waits_s: float | None, done_to_ms: int | None) -> float:
    """For how long the oldest message of a partition has waited, at most.

    It came after the partition began to have messages that wait, and after the last one that had its effect.
    """
    if waits_s is None:
        return 0.0
    behind_s = waits_s if done_to_ms is None else max(0.0, time.time() - done_to_ms / 1000)
    return round(min(waits_s, behind_s), 3)


def _disk(folder: Path) -> dict[str, int] | None:
    """The room where the worker keeps its tables."""
    there = next((one for one in (folder, *folder.parents) if one.exists()), None)
    if there is None:
        return None
    usage = shutil.disk_usage(there)
    return {"free_bytes": usage.free, "size_bytes": usage.total}


def _ago(at: float | None, now: float) -> float | None:
    return None if at is None else round(now - at, 3)
